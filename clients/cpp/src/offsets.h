#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace slcolm_client {

// Where each code point of a text in UTF-8 begins, in bytes, and where the last one ends.
//
// Services count code points, std::string counts bytes: `甲` is one of the former and three of the latter.
// `text.substr(at[start], at[end] - at[start])` is the range that a service means.
std::vector<std::size_t> byte_offsets(std::string_view text);

}  // namespace slcolm_client
