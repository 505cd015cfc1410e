// Scores a series with an exported detector, row by row as the rows come, and tells events.
//
//   g++ -std=c++17 -O2 score.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o score
//   ./score detector.onnx < series.csv > scores.csv
//
// Standard input is CSV with a line of column names; columns that are no channels (a time) are passed over, and empty
// fields are readings that are missing. Standard output gets row and score, standard error the events. What is in
// model.h was written beside this file from the same model.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

#include "model.h"

namespace {

constexpr float missing = std::numeric_limits<float>::quiet_NaN();

// The graph: a window of rows to a score, in thresholds, and what each channel adds to it.
class Detector {
 public:
  explicit Detector(const std::string& path) : session_(env_, path.c_str(), options()) {
    probe();
  }

  float score(const std::vector<float>& window, std::vector<float>& blame) {
    const std::int64_t shape[] = {1, aez::window, aez::channels};
    auto given = Ort::Value::CreateTensor<float>(memory_, const_cast<float*>(window.data()), window.size(), shape, 3);
    const char* inputs[] = {"window"};
    const char* outputs[] = {"score", "channel_score"};
    auto found = session_.Run(Ort::RunOptions{nullptr}, inputs, &given, 1, outputs, 2);
    const float* shares = found[1].GetTensorData<float>();
    blame.assign(shares, shares + aez::channels);
    return found[0].GetTensorData<float>()[0];
  }

 private:
  static Ort::SessionOptions options() {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    options.SetLogSeverityLevel(3);  // inputs that may be left out are no reason to warn
    return options;
  }

  // A runtime that computes something else would make the threshold worthless.
  void probe() {
    std::vector<float> blame;
    const float found = score({aez::probe_window, aez::probe_window + aez::window * aez::channels}, blame);
    if (!(std::abs(found - aez::probe_score) <= 1e-3f * std::abs(aez::probe_score)))
      throw std::runtime_error("this runtime gives " + std::to_string(found) + " for the model's own probe, not " +
                               std::to_string(aez::probe_score));
  }

  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR, "score"};
  Ort::Session session_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
};

// The rule that the threshold was chosen for: so many loud rows in a row open an event, so many quiet ones close it,
// and one that begins soon enough behind the last continues it.
class Events {
 public:
  void take(long row, float score, const std::vector<float>& blame) {
    if (resting_) release(row);
    if (score > 1)
      loud(row, score, blame);
    else if (!std::isnan(score))
      hush();
    if (resting_) release(row + 1);
  }

  void finish() { close(resting_ ? "" : ", which goes on"); }

 private:
  struct Stretch {
    long rows = 0, start = 0, last = 0;
    float peak = 0;
    std::vector<double> blame = std::vector<double>(aez::channels);

    void join(const Stretch& other) {
      if (!rows) start = other.start;
      rows += other.rows;
      last = other.last;
      peak = std::max(peak, other.peak);
      for (int i = 0; i < aez::channels; ++i) blame[i] += other.blame[i];
    }
  };

  void loud(long row, float score, const std::vector<float>& blame) {
    Stretch one{1, row, row, score};
    for (int i = 0; i < aez::channels; ++i) one.blame[i] = std::fmin(std::fmax(blame[i], 0.0f), 1e30f);  // NaN is 0
    quiet_ = 0;
    if (event_.rows && !resting_) {
      event_.join(one);
    } else {
      run_.join(one);
      if (run_.rows < aez::open_after) return;
      event_.join(run_);
      run_ = {};
      resting_ = false;
    }
    if (!opened_ && event_.last + 1 - event_.start >= aez::min_length) {
      opened_ = true;
      std::fprintf(stderr, "event opened: row %ld, score %.2f, mostly %s\n", row, event_.peak, mostly());
    }
  }

  void hush() {
    run_ = {};
    if (event_.rows && !resting_) resting_ = ++quiet_ >= aez::close_after;
  }

  void release(long next) {
    if (!run_.rows && next - (event_.last + 1) > aez::merge_within) close("");
  }

  void close(const char* how) {
    if (opened_)
      std::fprintf(stderr, "event: rows %ld to %ld, peak %.4f, mostly %s%s\n", event_.start, event_.last, event_.peak,
                   mostly(), how);
    event_ = {};
    opened_ = resting_ = false;
    quiet_ = 0;
  }

  const char* mostly() const {
    int most = 0;
    for (int i = 1; i < aez::channels; ++i)
      if (event_.blame[i] > event_.blame[most]) most = i;
    return aez::names[most];
  }

  Stretch run_, event_;
  bool opened_ = false, resting_ = false;
  int quiet_ = 0;
};

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> parts(1);
  for (const char letter : line)
    if (letter == ',')
      parts.emplace_back();
    else if (letter != '\r')
      parts.back() += letter;
  return parts;
}

std::vector<int> columns(const std::vector<std::string>& header) {
  std::vector<int> found;
  for (const char* name : aez::names) {
    int at = 0;
    while (at < static_cast<int>(header.size()) && header[at] != name) ++at;
    if (at == static_cast<int>(header.size())) throw std::runtime_error(std::string("no column is named ") + name);
    found.push_back(at);
  }
  return found;
}

float number(const std::vector<std::string>& row, int column) {
  if (column >= static_cast<int>(row.size()) || row[column].empty()) return missing;
  char* end = nullptr;
  const float value = std::strtof(row[column].c_str(), &end);
  return *end ? missing : value;
}

void run(const std::string& path) {
  Detector detector(path);
  Events events;
  std::string line;
  std::getline(std::cin, line);
  const std::vector<int> from = columns(fields(line));
  std::vector<float> window, blame;
  std::printf("row,score\n");
  for (long row = 0; std::getline(std::cin, line); ++row) {
    const std::vector<std::string> parts = fields(line);
    if (row >= aez::window) window.erase(window.begin(), window.begin() + aez::channels);
    for (const int column : from) window.push_back(number(parts, column));
    if (row + 1 < aez::window) continue;  // no whole window yet
    const float score = detector.score(window, blame);
    std::printf("%ld,%.9g\n", row, score);
    events.take(row, score, blame);
  }
  events.finish();
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count != 2) throw std::runtime_error("give one file: score detector.onnx < series.csv");
    run(arguments[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "score: %s\n", error.what());
    return 1;
  }
}
