// asymfast: wide shallow networks with asymmetrical node scaling. Includes the whole public
// interface.
#pragma once

#include "asymfast/activation.hpp"
#include "asymfast/config.hpp"
#include "asymfast/execution.hpp"
#include "asymfast/initial.hpp"
#include "asymfast/loss.hpp"
#include "asymfast/network.hpp"
#include "asymfast/ntg_operator.hpp"
#include "asymfast/owned.hpp"
#include "asymfast/planned_bytes.hpp"
#include "asymfast/train.hpp"
#include "asymfast/version.h"
#include "asymfast/views.hpp"
