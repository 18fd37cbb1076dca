#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

namespace slcolm_client {

// A channel whose calls go to all addresses of a name and are repeated when a service is not reached.
std::shared_ptr<grpc::Channel> connect(const std::string& address);

// When a call that begins now and may take so long has to end, its retries and the pauses between them included.
std::chrono::system_clock::time_point within(double seconds);

}  // namespace slcolm_client
