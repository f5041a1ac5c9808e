/*
 * What must not be shown of a text: keys, passwords, tokens.
 *
 * Whoever shows lines of files (diffs, drift) gives the whole text of each
 * file through this first, and shows what comes out.  It has as many lines;
 * what is secret in them reads "********".
 *
 * Hidden here: how a secret is known.
 *
 * By its shape: private keys from BEGIN to END (of PEM, OpenSSH, PGP;
 * PuTTY's), tokens with a known beginning (AKIA…, ghp_…, glpat-…, xoxb-…, eyJ…
 * and the like: mask_token.c), hashes as in /etc/shadow ($6$…, $y$…),
 * user:PASSWORD@ in URLs and names of data sources, Bearer … and Basic …, lines
 * of /etc/shadow and .pgpass, options of known commands (mysql -p…).
 *
 * By its name: what is assigned, in whatever language (= : => , XML, a
 * command's option), to a name with "password", "secret", "token", "api key"
 * … in it (mask_name.c), over as many lines as it takes; what follows such a
 * name behind a space, where it begins a line or no sentence would have it.
 *
 * By both: 32 and more digits of base64 or hexadecimal that are assigned to
 * anything, or are a line by themselves.
 *
 * By the file: what is in a folder "secrets", all but the first field of
 * chap-secrets, .htpasswd, gshadow and the like, data of a Secret of
 * Kubernetes.
 *
 * By patterns: POSIX extended regular expressions of the user's.
 *
 * A name that ends with what is known of a secret without being it
 * (password_file, token_ttl, PasswordAuthentication) is none, nor is a value
 * that is no more than "no".  In doubt more is masked than need be: that is a
 * nuisance, and the other is an accident.  No list is complete; mask: is for
 * the rest.
 *
 * A line longer than MASK_LINE_MAX is not shown at all.
 *
 * Cost: linear in the text, and the user's patterns, which see no more than a
 * line's MASK_LINE_MAX bytes and take no back-references.  Bytes are bytes:
 * nothing depends on the locale.
 */
#ifndef SERVICE_MASK_H
#define SERVICE_MASK_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define MASK_LINE_MAX	 4096
#define MASK_PATTERNS	 64  /* of a set */
#define MASK_PATTERN_MAX 256 /* bytes of one */
#define MASK_TEXT	 "********"
#define MASK_LONG	 "(line too long to show)"

struct mask;

/* What is masked anyway. */
int mask_new(struct mask **ret, struct err *e) NONNULL(1, 2) MUST_CHECK;
void mask_free(struct mask *m);
DEFINE_CLEANUP(struct mask *, mask_free);

/*
 * Also mask what the pattern's first group matches, or all that it matches
 * when there is none.  ERR_USAGE says what is wrong with it.
 */
int mask_add(struct mask *m, const char *pattern, struct err *e)
	NONNULL(1, 2, 3) MUST_CHECK;

/*
 * Append the n bytes, which hold no NUL, with what is secret masked.  path is
 * the file's, whose name may say what its one line is.
 */
int mask_text(const struct mask *m, const char *path, size_t path_len,
	      const void *bytes, size_t n, struct buf *out, struct err *e)
	NONNULL(1, 2, 6, 7) MUST_CHECK;

#endif
