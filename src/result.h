/* Types, columns, rows and values: what statements return, and take; and how a session reads SQL text. */
#ifndef MYPOOL_RESULT_H
#define MYPOOL_RESULT_H

#include "outcome.h"

/* Results of a session belong to it, and hold until its next operation, or the end of the loan. */

typedef enum mp_type {
  MP_TYPE_STRING,   /* text, bytes, DECIMAL, dates, times, JSON: as the server wrote it */
  MP_TYPE_INTEGER,  /* every integer that fits 64 signed bits */
  MP_TYPE_UNSIGNED, /* BIGINT UNSIGNED */
  MP_TYPE_FLOAT,    /* FLOAT and DOUBLE */
  MP_TYPE_BIT       /* BIT(n): big-endian bytes */
} mp_type;

/* A type by its name in SQL. */
typedef enum mp_sql_type {
  MP_SQL_NULL,
  MP_SQL_TINYINT,
  MP_SQL_SMALLINT,
  MP_SQL_MEDIUMINT,
  MP_SQL_INT,
  MP_SQL_BIGINT,
  MP_SQL_YEAR,
  MP_SQL_BIT,
  MP_SQL_BOOLEAN, /* TINYINT(1) and BIT(1) */
  MP_SQL_FLOAT,
  MP_SQL_DOUBLE,
  MP_SQL_DECIMAL,
  MP_SQL_DATE,
  MP_SQL_TIME,
  MP_SQL_DATETIME,
  MP_SQL_TIMESTAMP,
  MP_SQL_CHAR,
  MP_SQL_VARCHAR,
  MP_SQL_BINARY,
  MP_SQL_VARBINARY,
  MP_SQL_TEXT, /* of all sizes, as BLOB */
  MP_SQL_BLOB,
  MP_SQL_ENUM,
  MP_SQL_SET,
  MP_SQL_JSON,
  MP_SQL_UUID,
  MP_SQL_INET4,
  MP_SQL_INET6,
  MP_SQL_GEOMETRY, /* POINT and all others */
  MP_SQL_TYPES
} mp_sql_type;

typedef struct mp_column {
  const char *name;
  size_t name_length;
  mp_type type;
  mp_sql_type sql_type;
} mp_column;

/* The words of a statement about itself. */
typedef struct mp_summary {
  unsigned columns;       /* 0 for a statement without rows */
  uint64_t affected_rows; /* MySQL manual, mysql_affected_rows() */
  uint64_t insert_id;     /* 0 when none was generated */
  unsigned warning_count;
  const char *info; /* "Records: 3  Duplicates: 0  Warnings: 0", or NULL */
} mp_summary;

/* A value of the binary protocol: a parameter, or a cell of a row. */
typedef enum mp_value_kind {
  MP_VALUE_NULL,
  MP_VALUE_INTEGER,
  MP_VALUE_UNSIGNED,
  MP_VALUE_FLOAT,
  MP_VALUE_STRING,
  MP_VALUE_BINARY /* a string of bytes that are no text; only as a parameter */
} mp_value_kind;

typedef struct mp_value {
  mp_value_kind kind;
  union {
    int64_t integer; /* or the bits of an unsigned one */
    double number;
    struct {
      const char *bytes;
      size_t length;
    } text;
  } as;
} mp_value;

/* One row, of either protocol; neither cells nor values after the last one. Holds until the
   next fetch. */
typedef struct mp_row {
  char **cells; /* text: NULL for NULL */
  const unsigned long *lengths;
  const mp_value *values; /* binary */
  bool arrived;           /* from the network just now: it had not been read ahead */
} mp_row;

/* ---- reading SQL text ------------------------------------------------------ */

/* How a server splits bytes into characters, as far as it matters to who looks for quotes: in some charsets
   a backslash or a back-tick may be the second byte of a character. */
typedef enum mp_charset {
  MP_CHARSET_PLAIN, /* neither is, as in UTF-8 */
  MP_CHARSET_GBK,   /* gb18030, too */
  MP_CHARSET_SJIS,  /* cp932, too */
  MP_CHARSET_BIG5,
  MP_CHARSET_BYTES, /* of one byte: one above 0x7F may be a blank, which behind two dashes begins a comment */
  MP_CHARSETS
} mp_charset;

/* One way to read SQL text: what a server makes of it by its sql_mode, charset and version. */
typedef struct mp_reading {
  bool no_backslash_escapes, ansi_quotes;
  bool skips_versions; /* executable comments are comments: they ask for another version */
  mp_charset charset;
} mp_reading;

/* The way in which a session reads SQL text, as far as it is known. */
typedef struct mp_sql_mode {
  mp_reading reading;                              /* right in what is known */
  bool escapes_known, quotes_known, charset_known; /* no_backslash_escapes, ansi_quotes, charset */
  bool asked;                                      /* the session has just told what can be told */
  bool utf8, utf8mb4;        /* the session's character set: utf8mb4 or utf8mb3, utf8mb4 */
  bool utf8_in_doubt;        /* ... so it was; it must be asked for before text that is not ASCII is sent */
  bool empty_string_is_null; /* at the baseline */
  bool hex_is_number;        /* MySQL: x'37' is 55 where a number may stand */
} mp_sql_mode;

#endif
