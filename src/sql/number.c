/* Numbers as text, read and written as SQL and the server have them: whatever the locale of the program,
   whose decimal mark may be a comma, or several bytes. */
#include "sql.h"

#include <float.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

/* ---- the locale of C ---- */

static locale_t c_locale;

static void make_locale(void) {
  c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static locale_t neutral(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_locale);
  return c_locale;
}

/* ---- reading ---- */

bool mp_read_digits(const char *text, size_t length, uint64_t *value) {
  *value = 0;
  if (length == 0 || length > MP_LONGEST_NUMBER)
    return false;
  for (size_t i = 0; i < length; i++) {
    unsigned digit = (unsigned char)text[i] - '0';
    if (digit > 9)
      return false;
    *value = *value * 10 + digit;
  }
  return true;
}

static bool read_any_float(const char *text, size_t length, double *value) {
  char copy[MP_LONGEST_NUMBER + 1], *end;
  if (length == 0 || length > MP_LONGEST_NUMBER)
    return false;
  memcpy(copy, text, length);
  copy[length] = '\0';
  *value = strtod_l(copy, &end, neutral());
  return end == copy + length;
}

/* A number of up to 15 digits without an exponent needs one division, which rounds right: both operands are
   exact. */
bool mp_read_float(const char *text, size_t length, double *value) {
  static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  bool negative = length > 0 && *text == '-', point = false;
  uint64_t digits = 0;
  unsigned decimals = 0;
  *value = 0;
  if (length > 16 + (size_t)negative)
    return read_any_float(text, length, value);
  for (size_t i = negative; i < length; i++) {
    if (text[i] == '.' && !point) {
      point = true;
    } else if (text[i] >= '0' && text[i] <= '9') {
      digits = digits * 10 + (uint64_t)(text[i] - '0');
      decimals += point;
    } else {
      return read_any_float(text, length, value);
    }
  }
  if (length == (size_t)negative + point) /* no digit */
    return false;
  if (digits >= 1000000000000000 || decimals > 15)
    return read_any_float(text, length, value);
  *value = (double)digits / powers[decimals];
  if (negative)
    *value = -*value;
  return true;
}

/* ---- writing ---- */

/* The least digits to try: 15 are right for every double of full precision, and %g drops what follows the
   last that counts. Subnormal ones may need no more than one. */
static int fewest_digits(double value) {
  return value > -DBL_MIN && value < DBL_MIN ? 1 : 15;
}

size_t mp_write_float(char text[MP_FLOAT_ROOM], double value) {
  locale_t before = uselocale(neutral());
  int length = 0;
  for (int digits = fewest_digits(value); digits <= 17; digits++) {
    length = snprintf(text, MP_FLOAT_ROOM, "%.*g", digits, value);
    if (strtod(text, NULL) == value)
      break;
  }
  uselocale(before);
  return (size_t)length;
}

/* ---- rounding ---- */

static double round_as(const char *format, int digits, double value) {
  char text[MP_LONGEST_NUMBER + 1];
  locale_t before = uselocale(neutral());
  snprintf(text, sizeof text, format, digits, value);
  double rounded = strtod(text, NULL);
  uselocale(before);
  return rounded;
}

double mp_round_decimals(double value, unsigned decimals) {
  return round_as("%.*f", (int)decimals, value);
}

double mp_round_digits(double value, unsigned digits) {
  return round_as("%.*g", (int)digits, value);
}
