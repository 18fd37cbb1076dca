#include "offsets.h"

namespace slcolm_client {

std::vector<std::size_t> byte_offsets(std::string_view text) {
  std::vector<std::size_t> at;
  at.reserve(text.size() + 1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    // All bytes of a code point but the first are 10xxxxxx.
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) at.push_back(i);
  }
  at.push_back(text.size());
  return at;
}

}  // namespace slcolm_client
