/*
 * libcurl's functions that we call, under their own names, from a libcurl that
 * is loaded when the first of them is: curl_global_init().
 *
 * Why: with the twenty libraries that Debian's libcurl brings along (Kerberos,
 * LDAP, GnuTLS, …) it took half of the time in which a command starts, and most
 * commands ask no server: `snapctl --version` 4.5 → 2.2 ms (60 starts each, by
 * turns).
 *
 * Who calls includes <curl/curl.h> as ever, with its checks of types.  The
 * executable's symbols are not exported, so libcurl's own calls are not led
 * here.
 */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define LIBRARY "libcurl.so.4"

#define FUNCTIONS(X)                \
	X(curl_easy_cleanup)        \
	X(curl_easy_getinfo)        \
	X(curl_easy_init)           \
	X(curl_easy_perform)        \
	X(curl_easy_reset)          \
	X(curl_easy_setopt)         \
	X(curl_easy_strerror)       \
	X(curl_getdate)             \
	X(curl_global_init)         \
	X(curl_multi_add_handle)    \
	X(curl_multi_cleanup)       \
	X(curl_multi_info_read)     \
	X(curl_multi_init)          \
	X(curl_multi_perform)       \
	X(curl_multi_poll)          \
	X(curl_multi_remove_handle) \
	X(curl_multi_setopt)        \
	X(curl_multi_wakeup)        \
	X(curl_slist_append)        \
	X(curl_slist_free_all)

static struct {
#define MEMBER(name) __typeof__(name) *(name);
	FUNCTIONS(MEMBER)
} late;

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool loaded;

/* POSIX has a pointer to a function be one to an object, and back. */
static bool find(void *library, const char *name, void *ret_function)
{
	void *const found = dlsym(library, name);

	memcpy(ret_function, &found, sizeof(found));
	return found != NULL;
}

static bool load(void)
{
	void *const library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	bool all = library != NULL;

#define FIND(name) all = all && find(library, #name, &late.name);
	FUNCTIONS(FIND)
	/* It stays: there are threads of it. */
	return all;
}

/* Again, after it could not be: for want of memory, or of descriptors. */
CURLcode curl_global_init(long flags)
{
	CURLcode code = CURLE_FAILED_INIT;

	(void)pthread_mutex_lock(&loading);
	if (!atomic_load(&loaded) && load())
		atomic_store(&loaded, true);
	if (atomic_load(&loaded))
		code = late.curl_global_init(flags);
	(void)pthread_mutex_unlock(&loading);
	return code;
}

const char *curl_easy_strerror(CURLcode code)
{
	return atomic_load(&loaded) ? late.curl_easy_strerror(code)
				    : LIBRARY " cannot be loaded";
}

/* ---- One handle ---------------------------------------------------------- */

CURL *curl_easy_init(void)
{
	return late.curl_easy_init();
}

void curl_easy_cleanup(CURL *curl)
{
	if (curl)
		late.curl_easy_cleanup(curl);
}

void curl_easy_reset(CURL *curl)
{
	late.curl_easy_reset(curl);
}

CURLcode curl_easy_perform(CURL *curl)
{
	return late.curl_easy_perform(curl);
}

/* Of an option, by its number. */
enum value { IS_LONG, IS_POINTER, IS_FUNCTION, IS_OFFSET };

static enum value value_of(long option)
{
	return option < CURLOPTTYPE_OBJECTPOINT	    ? IS_LONG
	       : option < CURLOPTTYPE_FUNCTIONPOINT ? IS_POINTER
	       : option < CURLOPTTYPE_OFF_T	    ? IS_FUNCTION
	       : option < CURLOPTTYPE_BLOB	    ? IS_OFFSET
						    : IS_POINTER;
}

CURLcode curl_easy_setopt(CURL *curl, CURLoption option, ...)
{
	CURLcode code;
	va_list args;

	va_start(args, option);
	/* The types differ. */
	switch (value_of((long)option)) {
	case IS_LONG: // NOLINT(bugprone-branch-clone)
		code = late.curl_easy_setopt(curl, option, va_arg(args, long));
		break;
	case IS_OFFSET:
		code = late.curl_easy_setopt(curl, option,
					     va_arg(args, curl_off_t));
		break;
	case IS_FUNCTION:
		code = late.curl_easy_setopt(curl, option,
					     va_arg(args, void (*)(void)));
		break;
	default:
		code = late.curl_easy_setopt(curl, option,
					     va_arg(args, void *));
		break;
	}
	va_end(args);
	return code;
}

CURLcode curl_easy_getinfo(CURL *curl, CURLINFO info, ...)
{
	CURLcode code;
	va_list args;

	va_start(args, info);
	code = late.curl_easy_getinfo(curl, info, va_arg(args, void *));
	va_end(args);
	return code;
}

/* ---- Several ------------------------------------------------------------- */

CURLM *curl_multi_init(void)
{
	return late.curl_multi_init();
}

CURLMcode curl_multi_cleanup(CURLM *multi_handle)
{
	return multi_handle ? late.curl_multi_cleanup(multi_handle)
			    : CURLM_BAD_HANDLE;
}

CURLMcode curl_multi_setopt(CURLM *multi_handle, CURLMoption option, ...)
{
	CURLMcode code;
	va_list args;

	va_start(args, option);
	/* The types differ. */
	switch (value_of((long)option)) {
	case IS_LONG: // NOLINT(bugprone-branch-clone)
		code = late.curl_multi_setopt(multi_handle, option,
					      va_arg(args, long));
		break;
	case IS_FUNCTION:
		code = late.curl_multi_setopt(multi_handle, option,
					      va_arg(args, void (*)(void)));
		break;
	default:
		code = late.curl_multi_setopt(multi_handle, option,
					      va_arg(args, void *));
		break;
	}
	va_end(args);
	return code;
}

CURLMcode curl_multi_add_handle(CURLM *multi_handle, CURL *curl_handle)
{
	return late.curl_multi_add_handle(multi_handle, curl_handle);
}

CURLMcode curl_multi_remove_handle(CURLM *multi_handle, CURL *curl_handle)
{
	return late.curl_multi_remove_handle(multi_handle, curl_handle);
}

CURLMcode curl_multi_perform(CURLM *multi_handle, int *running_handles)
{
	return late.curl_multi_perform(multi_handle, running_handles);
}

CURLMcode curl_multi_poll(CURLM *multi_handle, struct curl_waitfd extra_fds[],
			  unsigned int extra_nfds, int timeout_ms, int *ret)
{
	return late.curl_multi_poll(multi_handle, extra_fds, extra_nfds,
				    timeout_ms, ret);
}

CURLMcode curl_multi_wakeup(CURLM *multi_handle)
{
	return late.curl_multi_wakeup(multi_handle);
}

CURLMsg *curl_multi_info_read(CURLM *multi_handle, int *msgs_in_queue)
{
	return late.curl_multi_info_read(multi_handle, msgs_in_queue);
}

/* ---- Others -------------------------------------------------------------- */

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *data)
{
	return late.curl_slist_append(list, data);
}

void curl_slist_free_all(struct curl_slist *list)
{
	if (list)
		late.curl_slist_free_all(list);
}

time_t curl_getdate(const char *p, const time_t *unused)
{
	return late.curl_getdate(p, unused);
}
