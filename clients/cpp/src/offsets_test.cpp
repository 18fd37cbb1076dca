// Checks byte_offsets against the vectors that all languages share: offsets-test PATH/offsets.json
#include "offsets.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: offsets-test PATH\n";
    return 2;
  }
  std::ifstream file(argv[1]);
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  google::protobuf::Value cases;
  const auto read = google::protobuf::util::JsonStringToMessage(json, &cases);
  if (!read.ok()) {
    std::cerr << argv[1] << ": " << read.ToString() << '\n';
    return 1;
  }
  int ranges = 0;
  int wrong = 0;
  for (const auto& item : cases.list_value().values()) {
    const auto& fields = item.struct_value().fields();
    const std::string& text = fields.at("text").string_value();
    const auto at = slcolm_client::byte_offsets(text);
    for (const auto& value : fields.at("ranges").list_value().values()) {
      const auto& range = value.struct_value().fields();
      const auto& bytes = range.at("utf8").list_value();
      const auto start = at.at(static_cast<std::size_t>(range.at("start").number_value()));
      const auto end = at.at(static_cast<std::size_t>(range.at("end").number_value()));
      const bool right = start == bytes.values(0).number_value() && end == bytes.values(1).number_value() &&
                         text.substr(start, end - start) == range.at("substring").string_value();
      ++ranges;
      if (!right) {
        ++wrong;
        std::cerr << fields.at("name").string_value() << ": got " << start << ':' << end << '\n';
      }
    }
  }
  std::cout << ranges << " ranges, " << wrong << " wrong\n";
  return ranges > 0 && wrong == 0 ? 0 : 1;
}
