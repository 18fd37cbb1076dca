#include "failures.h"

#include <google/rpc/error_details.pb.h>

#include <array>
#include <sstream>

namespace slcolm_client {
namespace {

constexpr std::array<const char*, 17> kCodes = {
    "OK",           "CANCELLED",          "UNKNOWN",             "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",         "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL",          "UNAVAILABLE",         "DATA_LOSS",        "UNAUTHENTICATED"};

std::string name_of(int code) {
  return code >= 0 && code < static_cast<int>(kCodes.size()) ? kCodes[code] : std::to_string(code);
}

}  // namespace

Failure failure_of(const grpc::Status& status) {
  google::rpc::Status details;
  // Without details, or with some that cannot be read, code and message are all there is.
  if (!details.ParseFromString(status.error_details())) details.Clear();
  details.set_code(status.error_code());
  details.set_message(status.error_message());
  return failure_of(details);
}

Failure failure_of(const google::rpc::Status& status) {
  Failure failure{name_of(status.code()), status.message(), {}, {}, {}, {}};
  for (const auto& detail : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest request;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) {
      failure.reason = info.reason();
      failure.domain = info.domain();
    } else if (detail.UnpackTo(&request)) {
      for (const auto& violation : request.field_violations()) {
        failure.violations.push_back({violation.field(), violation.description()});
      }
    } else if (detail.UnpackTo(&retry)) {
      failure.retry_after_seconds = retry.retry_delay().seconds() + retry.retry_delay().nanos() / 1e9;
    }
  }
  return failure;
}

std::string described(const Failure& failure) {
  std::ostringstream lines;
  lines << failure.code << ": " << failure.message << '\n';
  if (!failure.reason.empty()) lines << "  reason: " << failure.reason << " (" << failure.domain << ")\n";
  for (const auto& violation : failure.violations) {
    lines << "  field " << violation.field << ": " << violation.problem << '\n';
  }
  if (failure.retry_after_seconds) lines << "  retry after " << *failure.retry_after_seconds << " s\n";
  return lines.str();
}

}  // namespace slcolm_client
