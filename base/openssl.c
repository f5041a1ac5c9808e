#include "base/openssl.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/*
 * It comes in 4 ms, of which whoever waits for it waits for all: from the file
 * to a first cipher (this differs by a third from run to run).  Who has done
 * without for as long has lost no more than that; and a piece of a quarter of
 * it is seldom the last.
 */
#define WORTH_NS 4000000
#define LARGE_NS 1000000

static struct openssl_crypto crypto;
static struct openssl_tls tls;

/* POSIX has a pointer to a function be one to an object, and back. */
static bool find(void *library, const char *name, void *ret_function)
{
	void *const found = dlsym(library, name);

	memcpy(ret_function, &found, sizeof(found));
	return found != NULL;
}

static bool find_crypto(void *library)
{
	bool all = true;

#define FIND(name) all = all && find(library, #name, &crypto.name);
	OPENSSL_OF_CRYPTO(FIND)
#undef FIND
	return all;
}

static bool find_tls(void *library)
{
	bool all = true;

#define FIND(name) all = all && find(library, #name, &tls.name);
	OPENSSL_OF_TLS(FIND)
#undef FIND
	return all;
}

static struct late {
	const char *name;
	bool (*find)(void *library);
	atomic_bool is_here;
} late_crypto = { .name = "libcrypto.so.3", .find = find_crypto },
  late_tls = { .name = "libssl.so.3", .find = find_tls };

static _Atomic uint64_t
	so_far; /* nanoseconds that libcrypto would have saved */

/* What was loaded stays: there are pointers to it. */
static int load(struct late *l, struct err *e)
{
	void *library;
	const char *why;

	errno = 0;
	library = dlopen(l->name, RTLD_NOW | RTLD_LOCAL);
	if (library && l->find(library))
		return 0;
	if (library)
		return err_set(e, ERR_IO, "%s lacks functions of OpenSSL 3.0",
			       l->name);
	if (errno == ENOMEM)
		return err_oom(e);
	why = dlerror();
	(void)err_set(e, ERR_IO, "OpenSSL cannot be loaded: %s",
		      why ? why : l->name);
	return err_hint(e, "is libssl3 installed? if it was upgraded, start "
			   "snapctld anew");
}

static int bring(struct late *l, struct err *e)
{
	static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
	int failed = 0;

	if (atomic_load(&l->is_here))
		return 0;
	(void)pthread_mutex_lock(&loading);
	if (!atomic_load(&l->is_here)) {
		failed = load(l, e);
		atomic_store(&l->is_here, !failed);
		/* What could not come is not asked for with each piece. */
		atomic_store(&so_far, 0);
	}
	(void)pthread_mutex_unlock(&loading);
	return failed;
}

const struct openssl_crypto *openssl_crypto(struct err *e)
{
	return bring(&late_crypto, e) < 0 ? NULL : &crypto;
}

const struct openssl_tls *openssl_tls(struct err *e)
{
	return bring(&late_tls, e) < 0 ? NULL : &tls;
}

bool openssl_pays(uint64_t saved_ns)
{
	return atomic_load(&late_crypto.is_here) || saved_ns > LARGE_NS ||
	       atomic_fetch_add(&so_far, saved_ns) + saved_ns > WORTH_NS;
}
