/*
 * What sources with mutants in them ask at each: whether this one is chosen.
 * mutate.py puts its inclusion at the beginning of each copy that it rewrites.
 *
 * One number is chosen for the whole process, by SNAPCTL_MUTANT.  Which mutants
 * are reached is noted in the file SNAPCTL_MUTANTS_SEEN, one byte for each,
 * which children that die by a signal share.  All of it is weak, so that a
 * program has it once.
 */
#ifndef TESTS_MUTATE_MUTANT_H
#define TESTS_MUTATE_MUTANT_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Not all of unistd.h: what it declares a source may call its own. */
int close(int fd);

#define MUTANTS_MAX (1 << 16)

__attribute__((weak)) long mutant_chosen;
__attribute__((weak)) unsigned char mutants_unseen[MUTANTS_MAX];
__attribute__((weak)) unsigned char *mutants_seen = mutants_unseen;

static inline int mutant(int n)
{
	mutants_seen[n] = 1;
	return mutant_chosen == n;
}

__attribute__((constructor)) static void mutant_choose(void)
{
	const char *chosen = getenv("SNAPCTL_MUTANT");
	const char *path = getenv("SNAPCTL_MUTANTS_SEEN");
	void *seen;
	int fd;

	if (chosen)
		mutant_chosen = strtol(chosen, NULL, 10);
	if (!path || mutants_seen != mutants_unseen)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	seen = mmap(NULL, MUTANTS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	if (seen == MAP_FAILED)
		abort();
	mutants_seen = seen;
	(void)close(fd);
}

#endif
