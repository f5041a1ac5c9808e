/*
 * Compiler attributes, spelled once.
 *
 * GCC 12 and Clang 14 accept hardly any C23 syntax in common, so the house
 * language is gnu17 and every attribute goes through this header.  When the
 * baseline moves, only this file changes.
 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define MUST_CHECK	     __attribute__((warn_unused_result))
#define NONNULL(...)	     __attribute__((nonnull(__VA_ARGS__)))
#define PRINTF_LIKE(fmt, va) __attribute__((format(printf, fmt, va)))
#define RETURNS_NONNULL	     __attribute__((returns_nonnull))
#define UNUSED		     __attribute__((unused))

/*
 * CLEANUP(repo_close) struct repo *r = NULL;
 *
 * Release r when it leaves scope.  The module that owns the type provides the
 * release function through DEFINE_CLEANUP(), so a caller can only name a
 * release function that exists and that matches the type.
 */
#define CLEANUP(fn) __attribute__((cleanup(cleanup_##fn)))
#define DEFINE_CLEANUP(type, fn)                           \
	static inline void cleanup_##fn(type const *thing) \
	{                                                  \
		fn(*thing);                                \
	}                                                  \
	struct swallow_semicolon

/* Hand ownership to the caller: yields p and leaves NULL behind. */
#define TAKE(p)                                          \
	__extension__({                                  \
		__typeof__(p) *take_from_ = &(p);        \
		__typeof__(p) take_value_ = *take_from_; \
		*take_from_ = NULL;                      \
		take_value_;                             \
	})

#endif
