// The step loops of training runs, one file each; methods/goal.hpp says what they have in common.
#pragma once

#include "train/methods/adaptive_rk4.hpp"
#include "train/methods/descent.hpp"
#include "train/methods/dopri5.hpp"
#include "train/methods/fixed_rk4.hpp"
#include "train/methods/leap.hpp"
#include "train/methods/tangent.hpp"
