// A small C parser with one bug of each kind, for fuzzers to find. Build:
//   clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined sample.c -o sample
// for `crashwise workflow run libfuzzer_fuzzing .`; `crashwise workflow run afl_fuzzing .` builds it itself.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Bug: writes one byte past the copy.
__attribute__((noinline)) static void copy_name(const uint8_t *data, size_t size) {
  char *name = malloc(size + 1);
  memcpy(name, data, size);
  name[size + (data[0] == 'N')] = 0;
  free(name);
}

// Bug: the second free, when a list is empty twice. Without `volatile` a compiler leaves both out.
__attribute__((noinline)) static void drop_list(const uint8_t *data, size_t size) {
  char *volatile list = malloc(4);
  free(list);
  if (size > 1 && data[0] == 'D' && data[1] == 'D') free(list);
}

// Bug: a sum that overflows.
__attribute__((noinline)) static int add(const uint8_t *data, size_t size) {
  int32_t a, b;
  if (size < 8) return 0;
  memcpy(&a, data, 4);
  memcpy(&b, data + 4, 4);
  return a + b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  switch (data[0]) {
  case 'n': copy_name(data + 1, size - 1); break;
  case 'd': drop_list(data + 1, size - 1); break;
  case 'a': return add(data + 1, size - 1) == 42 ? 0 : 0;
  }
  return 0;
}
