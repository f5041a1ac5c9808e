#include "tests/support/alloc_all.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static atomic_uint counted;
static atomic_bool counting;
static atomic_bool happened;
static unsigned int fails_at;
static atomic_long live;

void alloc_all_fail_at(unsigned int n)
{
	atomic_store(&counted, 0);
	atomic_store(&happened, false);
	fails_at = n;
	atomic_store(&counting, true);
}

#ifdef SNAPCTL_COVERAGE
/* What writes a child's counts before its exec takes what malloc() gives. */
static void spare_child(void)
{
	atomic_store(&counting, false);
}

__attribute__((constructor)) static void spare_children(void)
{
	(void)pthread_atfork(NULL, NULL, spare_child);
}
#endif

bool alloc_all_happened(void)
{
	return atomic_load(&happened);
}

unsigned int alloc_all_end(void)
{
	atomic_store(&counting, false);
	return atomic_load(&counted);
}

long alloc_all_live(void)
{
	return atomic_load(&live);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

/* Where the code of the library lies that is spared. */
static struct {
	uintptr_t from, to;
} spared;

static int look_at(struct dl_phdr_info *info, size_t size, void *library)
{
	(void)size;
	if (!strstr(info->dlpi_name, library))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		spared.from = info->dlpi_addr + p->p_vaddr;
		spared.to = spared.from + p->p_memsz;
	}
	return 1;
}

void alloc_all_spare(const char *library)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s", library);
	(void)dl_iterate_phdr(look_at, name);
}

static _Thread_local bool resting;

void alloc_all_rest(bool rests)
{
	resting = rests;
}

#ifdef SANITIZED

bool alloc_all_works(void)
{
	return false;
}

#else

bool alloc_all_works(void)
{
	return true;
}

/* Those of the C library, which bear these names as well. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static bool fails(const void *caller)
{
	const uintptr_t at = (uintptr_t)caller;

	if (!atomic_load(&counting) || resting ||
	    (at >= spared.from && at < spared.to) ||
	    atomic_fetch_add(&counted, 1) + 1 != fails_at)
		return false;
	atomic_store(&happened, true);
	errno = ENOMEM;
	return true;
}

/*
 * What the loader allocates for a thread goes with its stack, which the C
 * library keeps for another one: it is not counted.
 */
#define LOADER_BYTES ((uintptr_t)1 << 18)
#define BY_LOADER()                               \
	((uintptr_t)__builtin_return_address(0) - \
		 (uintptr_t)getauxval(AT_BASE) <  \
	 LOADER_BYTES)

static void *had(void *p, bool by_loader)
{
	if (p && !by_loader)
		(void)atomic_fetch_add(&live, 1);
	return p;
}

void *malloc(size_t n)
{
	return fails(__builtin_return_address(0))
		       ? NULL
		       : had(__libc_malloc(n), BY_LOADER());
}

void *calloc(size_t n, size_t size)
{
	return fails(__builtin_return_address(0))
		       ? NULL
		       : had(__libc_calloc(n, size), BY_LOADER());
}

/* Nothing else gives memory back when the new size is 0. */
void *realloc(void *p, size_t n)
{
	void *moved;

	if (p && n == 0) {
		free(p);
		return NULL;
	}
	if (fails(__builtin_return_address(0)))
		return NULL;
	moved = __libc_realloc(p, n);
	return p ? moved : had(moved, false);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, all);
}

void *aligned_alloc(size_t align, size_t n)
{
	return fails(__builtin_return_address(0))
		       ? NULL
		       : had(__libc_memalign(align, n), false);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
	return fails(__builtin_return_address(0))
		       ? NULL
		       : had(__libc_memalign(align, n), false);
}

int posix_memalign(void **ret, size_t align, size_t n)
{
	void *p = fails(__builtin_return_address(0))
			  ? NULL
			  : had(__libc_memalign(align, n), false);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

void free(void *p)
{
	const int sys = errno;

	if (p && !BY_LOADER())
		(void)atomic_fetch_sub(&live, 1);
	__libc_free(p);
	errno = sys;
}

#endif
