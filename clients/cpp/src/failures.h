#pragma once

#include <google/rpc/status.pb.h>
#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <vector>

namespace slcolm_client {

// What is wrong with which field of a request.
struct Violation {
  std::string field;
  std::string problem;
};

// What a service says of a failure.
struct Failure {
  std::string code;  // Name of the gRPC status code.
  std::string message;
  std::string reason;  // What happened, for programs; empty where the transport failed.
  std::string domain;
  std::vector<Violation> violations;
  std::optional<double> retry_after_seconds;  // When the service wants to be asked again.
};

// The failure of a call: its details stand in the trailer `grpc-status-details-bin`.
Failure failure_of(const grpc::Status& status);

// The failure of one text of a batch, or of a run.
Failure failure_of(const google::rpc::Status& status);

// A failure in lines, for people.
std::string described(const Failure& failure);

}  // namespace slcolm_client
