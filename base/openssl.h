/*
 * OpenSSL's libraries, loaded when somebody first asks for them.
 *
 * Why: libcrypto took more than half of the time in which a command starts
 * (124 of 296 page faults, most of them of its own tables), and as long again
 * to find its first cipher.  Most commands, and snapshots of what has not
 * changed, have so little to encrypt that libsodium has done it meanwhile.
 *
 * A table holds the functions that we call, each under its own name; its types
 * are those of OpenSSL's headers.
 */
#ifndef BASE_OPENSSL_H
#define BASE_OPENSSL_H

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define OPENSSL_OF_CRYPTO(X)          \
	X(CRYPTO_get_ex_new_index)    \
	X(EVP_CIPHER_CTX_ctrl)        \
	X(EVP_CIPHER_CTX_free)        \
	X(EVP_CIPHER_CTX_new)         \
	X(EVP_CIPHER_fetch)           \
	X(EVP_CIPHER_free)            \
	X(EVP_CipherFinal_ex)         \
	X(EVP_CipherInit_ex2)         \
	X(EVP_CipherUpdate)           \
	X(EVP_Digest)                 \
	X(EVP_DigestFinal_ex)         \
	X(EVP_DigestInit_ex2)         \
	X(EVP_DigestUpdate)           \
	X(EVP_MD_CTX_free)            \
	X(EVP_MD_CTX_new)             \
	X(EVP_MD_fetch)               \
	X(EVP_MD_free)                \
	X(EVP_md5)                    \
	X(EVP_sha256)                 \
	X(HMAC)                       \
	X(X509_STORE_CTX_get_error)   \
	X(X509_STORE_CTX_get_ex_data) \
	X(X509_verify_cert_error_string)

#define OPENSSL_OF_TLS(X)          \
	X(SSL_CTX_get_ex_data)     \
	X(SSL_CTX_get_verify_mode) \
	X(SSL_CTX_set_ex_data)     \
	X(SSL_CTX_set_options)     \
	X(SSL_CTX_set_verify)      \
	X(SSL_get_SSL_CTX)         \
	X(SSL_get_ex_data_X509_STORE_CTX_idx)

#define OPENSSL_MEMBER(name) __typeof__(name) *(name);
struct openssl_crypto {
	OPENSSL_OF_CRYPTO(OPENSSL_MEMBER)
};
struct openssl_tls {
	OPENSSL_OF_TLS(OPENSSL_MEMBER)
};
#undef OPENSSL_MEMBER

/*
 * The table, which stays; or NULL, and *e says why: for want of memory or
 * descriptors, or as the library is not installed.  Whoever asks again has it
 * looked for again.  Any thread may.
 */
const struct openssl_crypto *openssl_crypto(struct err *e) NONNULL(1)
	MUST_CHECK;
const struct openssl_tls *openssl_tls(struct err *e) NONNULL(1) MUST_CHECK;

/*
 * Whether to use libcrypto for something that it does so many nanoseconds
 * faster, for who could do without it: once it is there, for a large piece, and
 * when small ones would have saved together what its coming takes.  The
 * process's count of them may go up; it begins anew when libcrypto could not
 * come.
 */
bool openssl_pays(uint64_t saved_ns);

#endif
