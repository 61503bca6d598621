// The losses L(f, y) of n samples and k outputs.
#pragma once

#include <string_view>

#include "asymfast/export.h"

namespace asymfast {

enum class Loss {
  half_sse,       // 1/2 sum_iq (f_iq - y_iq)^2: L_m of Eq. (3), not divided by n
  mse,            // 1/(n k) sum_iq (f_iq - y_iq)^2
  cross_entropy,  // 1/n sum_i [logsumexp(f_i) sum_q y_iq - sum_q y_iq f_iq], y rows of
                  // probabilities
};

ASYMFAST_API Loss loss_from_name(std::string_view name);  // throws std::invalid_argument
ASYMFAST_API std::string_view name_of(Loss loss);

}  // namespace asymfast
