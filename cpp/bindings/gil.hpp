// The GIL, also in threads that outlive Python.
//
// When the main thread ends, Python ends daemon threads where they next ask for the GIL: before
// 3.14 by unwinding their stack, which kernels and OpenMP regions do not survive ("FATAL: exception
// not rethrown"). Such a thread sleeps instead, as it does in 3.14, until the process has ended.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <optional>
#include <thread>

namespace asymfast::bindings {

namespace py = pybind11;

inline bool python_is_ending() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

// The thread that ends Python may call the library to the last, from a destructor for example.
inline bool& this_thread_ends_python() {
  thread_local bool ends = false;
  return ends;
}

// take() waits for the GIL. Python may end meanwhile and unwind the stack through here.
template <class Take>
#if defined(__GNUC__)
__attribute__((noinline))  // a frame of its own, which unwinding enters before any that is noexcept
#endif
void take_gil(Take&& take) {
  struct Sleeper {
    bool armed = true;
    ~Sleeper() {
      while (armed) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  } unwound;
  if (!python_is_ending() || this_thread_ends_python()) {
    take();
    unwound.armed = false;
  }
}

// Holds the GIL.
class WithGil {
 public:
  WithGil() {
    take_gil([this] { held_.emplace(); });
  }

 private:
  std::optional<py::gil_scoped_acquire> held_;
};

// Lets other Python threads run.
class WithoutGil {
 public:
  WithoutGil() {
    this_thread_ends_python() = python_is_ending();  // who has the GIL then is that thread
    state_ = PyEval_SaveThread();
  }
  ~WithoutGil() {
    take_gil([this] { PyEval_RestoreThread(state_); });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace asymfast::bindings
