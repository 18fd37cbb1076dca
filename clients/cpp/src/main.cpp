// Extracts, predicts and watches a run: slcolm-client --help
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "failures.h"
#include "offsets.h"
#include "services.h"
#include "slcolm/coordinator/v1/coordinator.grpc.pb.h"
#include "slcolm/extraction/v1/extraction.grpc.pb.h"

namespace {

using slcolm::common::v1::Document;
using slcolm::coordinator::v1::Run;
using slcolm_client::connect;
using slcolm_client::described;
using slcolm_client::failure_of;
using slcolm_client::within;

constexpr char kUsage[] = R"(Usage:
  slcolm-client [--address HOST:PORT] [--timeout SECONDS] extract TEXT...
  slcolm-client [--address HOST:PORT] [--timeout SECONDS] predict RUN TEXT...
  slcolm-client [--address HOST:PORT] [--timeout SECONDS] watch RUN

extract asks an extraction service (127.0.0.1:50051), predict and watch a coordinator (127.0.0.1:50050).
A call may take 60 s, and watching a day, unless --timeout says otherwise.
)";

constexpr double kCallSeconds = 60;
constexpr double kDaySeconds = 24 * 60 * 60;
// A stream that breaks is opened again; so often in a row without a word from the service is enough.
constexpr int kMostBreaks = 5;

struct Options {
  std::string address;
  std::optional<double> timeout;
  std::vector<std::string> words;
};

template <typename Request>
void add_texts(std::vector<std::string>::const_iterator first, std::vector<std::string>::const_iterator last,
               Request& request) {
  for (int index = 0; first != last; ++first, ++index) {
    auto* document = request.add_documents();
    document->set_id(std::to_string(index));
    document->set_text(*first);
  }
}

// Entities with their offsets in code points and in bytes, and what stands there.
void print_entities(const Document& document) {
  const auto& text = document.text();
  const auto at = slcolm_client::byte_offsets(text);
  for (const auto& entity : document.entities()) {
    const auto start = at.at(entity.start());
    const auto end = at.at(entity.end());
    std::cout << "entity\t" << document.id() << '\t' << entity.type() << '\t' << entity.start() << '\t' << entity.end()
              << '\t' << start << '\t' << end << '\t' << text.substr(start, end - start) << '\n';
  }
}

void print_error(const std::string& id, const google::rpc::Status& error) {
  const auto failure = failure_of(error);
  std::cout << "error\t" << id << '\t' << failure.code << '\t' << failure.reason << '\t' << failure.message << '\n';
}

int failed(const grpc::Status& status) {
  std::cerr << described(failure_of(status));
  return 1;
}

int extract(const Options& options) {
  slcolm::extraction::v1::ExtractRequest request;
  add_texts(options.words.begin(), options.words.end(), request);
  const auto stub = slcolm::extraction::v1::ExtractionService::NewStub(
      connect(options.address.empty() ? "127.0.0.1:50051" : options.address));
  grpc::ClientContext context;
  context.set_deadline(within(options.timeout.value_or(kCallSeconds)));
  slcolm::extraction::v1::ExtractResponse response;
  const auto status = stub->Extract(&context, request, &response);
  if (!status.ok()) return failed(status);
  int code = 0;
  for (const auto& result : response.results()) {
    if (result.has_error()) {
      print_error(result.id(), result.error());
      code = 1;
      continue;
    }
    const auto& document = result.extraction().document();
    print_entities(document);
    for (const auto& relation : document.relations()) {
      std::cout << "relation\t" << document.id() << '\t' << relation.type() << '\t'
                << document.entities(relation.head()).text() << '\t' << document.entities(relation.tail()).text()
                << '\n';
    }
  }
  return code;
}

std::unique_ptr<slcolm::coordinator::v1::CoordinatorService::Stub> coordinator(const Options& options) {
  return slcolm::coordinator::v1::CoordinatorService::NewStub(
      connect(options.address.empty() ? "127.0.0.1:50050" : options.address));
}

int predict(const Options& options) {
  slcolm::coordinator::v1::PredictRequest request;
  request.set_run_id(options.words.front());
  add_texts(options.words.begin() + 1, options.words.end(), request);
  grpc::ClientContext context;
  context.set_deadline(within(options.timeout.value_or(kCallSeconds)));
  slcolm::coordinator::v1::PredictResponse response;
  const auto status = coordinator(options)->Predict(&context, request, &response);
  if (!status.ok()) return failed(status);
  int code = 0;
  for (const auto& result : response.results()) {
    if (result.has_error()) {
      print_error(result.id(), result.error());
      code = 1;
      continue;
    }
    print_entities(result.prediction().document());
    for (const auto& found : result.prediction().triples()) {
      std::cout << "triple\t" << result.id() << '\t' << found.triple().type() << '\t' << found.triple().head() << '\t'
                << found.triple().tail() << '\t';
      for (int i = 0; i < found.sources_size(); ++i) std::cout << (i > 0 ? "+" : "") << found.sources(i);
      std::cout << '\n';
    }
    if (result.prediction().has_guidance_error()) {
      std::cout << "unguided\t" << result.id() << '\t' << failure_of(result.prediction().guidance_error()).code << '\n';
    }
  }
  return code;
}

std::string name_of(slcolm::coordinator::v1::RunState state) {
  const std::string prefix = "RUN_STATE_";
  const auto name = slcolm::coordinator::v1::RunState_Name(state);
  return name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : std::to_string(state);
}

// The state of a run in a line, and how far its latest stage is.
std::string progress(const Run& run) {
  std::string line = "run\t" + name_of(run.state());
  for (int i = run.stages_size() - 1; i >= 0; --i) {
    const auto& stage = run.stages(i);
    if (stage.state() == slcolm::coordinator::v1::RUN_STATE_QUEUED) continue;
    return line + '\t' + stage.name() + '\t' + std::to_string(stage.done()) + '/' + std::to_string(stage.total());
  }
  return line;
}

// Follows a run to its end, through broken connections: a new stream begins with the present state.
int watch(const Options& options) {
  const auto stub = coordinator(options);
  const auto deadline = within(options.timeout.value_or(kDaySeconds));
  slcolm::coordinator::v1::WatchRunRequest request;
  request.set_run_id(options.words.front());
  Run last;
  std::string printed;
  for (int breaks = 0;; ++breaks) {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    const auto reader = stub->WatchRun(&context, request);
    slcolm::coordinator::v1::WatchRunResponse response;
    while (reader->Read(&response)) {
      breaks = 0;
      last = response.run();
      const auto line = progress(last);
      if (line != printed) std::cout << line << std::endl;
      printed = line;
    }
    const auto status = reader->Finish();
    if (status.ok()) break;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || breaks >= kMostBreaks) return failed(status);
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  if (last.has_error()) std::cerr << described(failure_of(last.error()));
  return last.state() == slcolm::coordinator::v1::RUN_STATE_SUCCEEDED ? 0 : 1;
}

int usage() {
  std::cerr << kUsage;
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  Options options;
  std::string command;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& word = arguments[i];
    if (!command.empty()) {
      options.words.push_back(word);
    } else if (word == "--help" || word == "-h") {
      std::cout << kUsage;
      return 0;
    } else if (word == "--address" && i + 1 < arguments.size()) {
      options.address = arguments[++i];
    } else if (word == "--timeout" && i + 1 < arguments.size()) {
      const auto seconds = std::strtod(arguments[++i].c_str(), nullptr);
      if (!(seconds > 0)) return usage();
      options.timeout = seconds;
    } else if (word.rfind("--", 0) == 0) {
      return usage();
    } else {
      command = word;
    }
  }
  if (command == "extract" && !options.words.empty()) return extract(options);
  if (command == "predict" && options.words.size() > 1) return predict(options);
  if (command == "watch" && options.words.size() == 1) return watch(options);
  return usage();
}
