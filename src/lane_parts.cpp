#include "lane_parts.hpp"

namespace softreg {

SR_LANE_PARTS()
SR_PACK_PARTS()

}  // namespace softreg
