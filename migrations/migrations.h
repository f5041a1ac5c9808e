/*
 * The catalog's SQL, compiled in: one table, in the order of application.
 *
 * Files are NNNN_name.sql, numbered from 0001 without gaps, ASCII, and never
 * changed once released: a catalog remembers the digest of what was applied
 * to it and refuses a program that knows another text under that number.
 * Each is run in one transaction, so it holds no BEGIN, COMMIT or PRAGMA.
 *
 * Applying them is the catalog's work (service/catalog_migrate.c).
 */
#ifndef MIGRATIONS_MIGRATIONS_H
#define MIGRATIONS_MIGRATIONS_H

#include <stddef.h>

struct migration {
	int number; /* from 1; migrations_all[i].number is i + 1 */
	const char *name;
	const char *digest; /* SHA-256 of the file, 64 hexadecimal digits */
	const char *sql;
};

extern const struct migration migrations_all[];
extern const size_t migrations_count;

#endif
