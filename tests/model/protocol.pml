/*
 * The protocol of writers, collectors and readers (storage/FORMAT.md, chapter
 * 10), for spin.  run.py has the table of configurations and mutants: what each
 * of them leaves out, and where it is shown to fail.
 *
 * Read in this order: the store and what must hold; a writer; giving up; the
 * collector from below (collector, then survey, act, clean); the survivor.
 *
 * One chunk; each pack holds it.  Only single GET, PUT and LIST are steps of
 * their own.  Whoever is not scheduled any more is dead; a session may be
 * given up at any time; grace is over at any time, or never.  A collector may
 * mark any pack, whether or not somebody needs it: copying must make that
 * good.  The voids are kept as what they leave out (ixdead, mandead, undead):
 * the next of them leaves out more.  An index object supersedes all that it
 * merged and all that those superseded; a mark names packs and superseded
 * index objects.  Not modelled: the GET of the fence before naming, which only
 * saves work; receipts, keys, quarantines, inventories, damage; trees; a second
 * deletion of a snapshot; a second mark of one collector; marks that are united;
 * index objects that a writer merges of its own; the other region of a copy.
 *
 * Liveness: once everybody else died, wherever they were, one collector that
 * goes on waits for one lease at most, and comes to an end where what is needed
 * is in one pack, and there is no mark, no session, no fence without a void,
 * and no index that names more than that.  Who waits for a lease does nothing
 * else, so that time passes without a condition of fairness.  (Weak fairness,
 * pan -f, would hide failures here: it waits for those whom `provided` stops.)
 *
 * What can be left out without harm, and why, so that the code may do it or
 * not:
 *
 * ANY_SUPERSEDE, SUPER_BY_VOID: index objects are marked although what
 *	supersedes them may yet be voided.  Looking again adopts what is in
 *	doubt before anything goes, and deletes only what is superseded then.
 * MERGE_FORGETS: a merge does not name what those superseded that it
 *	supersedes.  They count again once these are gone, but a mark stays
 *	while any index object names its packs, and the next merge takes them.
 * NO_FIRST_CONFIRM: an undelete asks for its fence only in the end.
 * The order of marks, voids and index in look: only fences must come last.  This
 *	by argument alone: no switch changes it.
 *
 * -D switches.  RW0 RW1 writers, PARENT: that take the old snapshot's chunk for
 * present; RA one who acknowledges for RW0; RU RU2 two undeleting the old
 * snapshot; RD one who deletes it and one who holds or locks it; RR a reader;
 * RC0 RC1 collectors, RC2 one that begins when RC0 is done (CLEAN: with merging
 * and removal of index objects and marks; MARK_ANY: mark either old pack;
 * MARK_NEW: or a writer's; DIES: RC0 dies before its census); Fxx one who
 * gives up session xx and does nothing else; SURVIVOR the one that outlives all
 * others (FAR_AHEAD: whose marks are of the far future).  OLDPACKS: old packs,
 * as bits; TOMB: the old snapshot is deleted, past its time.  BEATS: a session
 * that was removed is PUT again by its beat.  LISTED: what a writer listed must
 * be there until it has read it.  Any other switch leaves a step out.
 */
#define B(n) (1 << (n))

#ifndef OLDPACKS
#define OLDPACKS 1
#endif
#ifndef TOMB
#define TOMB 1
#endif
#ifdef MARK_NEW
#define MARKS \
	:: packs & 1 -> due = 1 :: packs & PACK(W0) -> due = PACK(W0)
#elif defined(MARK_ANY)
#define MARKS :: packs & 1 -> due = 1 :: packs & 2 -> due = 2
#endif
#ifndef MARKS
#define MARKS :: packs & 1 -> due = 1
#endif

/* ---- The store ---------------------------------------------------------- */

#define W0 0
#define W1 1
#define UN 2
#define C0 3
#define C1 4
#define C2 5

#define OWN(s)	   B(1 + (s))	/* index object, or manifest, of session s */
#define PACK(s)	   B(2 + (s))
#define ADOPTED(c) B(7 + (c))
#define MERGED(c)  B(10 + (c))

byte sess, fenced, voided;
byte packs = OLDPACKS;
short ix = 1, ixdead;
byte names[6];
short super[6];
byte man = 1, mandead;
byte und, undead;
byte mark[3], census[3], marks, censuses;
short markix[3];
bool pin;
#ifdef RD
bool tomb, guard;
#else
#define tomb TOMB
#endif
#ifdef RC2
bool ended0;
#endif
#ifdef TAKE_BACK
bool tomb2;
byte revokes2;
#endif

/* What only the properties look at. */
byte acked, undacked, busy;
bool early;
bool quiet, finished;
#ifdef RD
bool promised;
#endif
#ifdef RR
short rix;
#endif

/* All index objects of these sessions, there or not. */
#define ALL_OF(x) ((((x) << 1) & 126) | (((x) >> C0) & 1) * 1152 \
		   | (((x) >> C1) & 1) * 2304 | (((x) >> C2) & 1) * 4608)
/* What any of x names as superseded, itself superseded or not. */
#define SUPER(x)  ((((x) >> 7) & 1) * super[0] | (((x) >> 8) & 1) * super[1] \
		   | (((x) >> 9) & 1) * super[2] | (((x) >> 10) & 1) * super[3] \
		   | (((x) >> 11) & 1) * super[4] | (((x) >> 12) & 1) * super[5])
/* Of the index objects x those that count, and are not superseded. */
#define LIVE(x, dead) ((x) & ~(dead) & ~SUPER((x) & ~(dead)))
/* The packs that these name: sessions name their own pack. */
#define NAMED(x)  (((x) & 1) * OLDPACKS | (((x) & 126) << 1) \
		   | (((x) >> 7) & 1) * names[0] | (((x) >> 8) & 1) * names[1] \
		   | (((x) >> 9) & 1) * names[2] | (((x) >> 10) & 1) * names[3] \
		   | (((x) >> 11) & 1) * names[4] | (((x) >> 12) & 1) * names[5])
#define MARKEDIX  ((marks & 1) * markix[0] | (marks >> 1 & 1) * markix[1] \
		   | (marks >> 2 & 1) * markix[2])
#define MARKED	  ((marks & 1) * mark[0] | (marks >> 1 & 1) * mark[1] \
		   | (marks >> 2 & 1) * mark[2])

/* Manifests of the writers' snapshots, and of the one that is deleted. */
#ifdef RU2
#define OF_WRITERS 2
#define OF_OLD	   (1 | OWN(W1) | OWN(UN))
#else
#define OF_WRITERS (OWN(W0) | OWN(W1))
#define OF_OLD	   (1 | OWN(UN))
#endif
#ifdef TAKE_BACK
#define DELETED(u) (tomb && (!(u) || (tomb2 && !(revokes2 & (u)))))
#else
#define DELETED(u) (tomb && !(u))
#endif

/* ---- What must hold ----------------------------------------------------- */

#define HELD	  (NAMED(LIVE(ix, ixdead)) & packs)
#define COUNTING  (man & ~mandead)
#define OLD_THERE ((COUNTING & OF_OLD) && !DELETED(und & ~undead))

/* What was acknowledged is there. */
#define SAFE_WRITERS (!((acked << 1) & OF_WRITERS & ~COUNTING))
#define SAFE_UNDELETE (!undacked || OLD_THERE)
/* Invariant 1, of whatever counts and is not deleted. */
#define SAFE_CHUNKS (HELD || !((COUNTING & OF_WRITERS) || OLD_THERE))
/* Invariant 2. */
#define SAFE_INDEX (!(NAMED(LIVE(ix, ixdead)) & ~packs & ~MARKED))
/* What counted for good, and was pinned before a collector looked, stays. */
#define SAFE_READER \
	(!(pin && early) || (HELD && (COUNTING & OF_OLD) && SAFE_READ_INDEX))
#ifdef RR
#define SAFE_READ_INDEX (!(rix & ~ix))
#else
#define SAFE_READ_INDEX 1
#endif
/* What was held, or locked, before it was deleted, stays. */
#ifdef RD
#define SAFE_GUARD (!promised || (HELD && (COUNTING & OF_OLD)))
#else
#define SAFE_GUARD 1
#endif

proctype monitor()
{
end:	atomic {
		!(SAFE_WRITERS && SAFE_UNDELETE && SAFE_CHUNKS && SAFE_INDEX &&
		  SAFE_READER && SAFE_GUARD);
		assert(SAFE_WRITERS);
		assert(SAFE_UNDELETE);
		assert(SAFE_CHUNKS);
		assert(SAFE_INDEX);
		assert(SAFE_READER);
		assert(SAFE_GUARD)
	}
}

#ifdef SURVIVOR
#define MORTAL provided (!quiet)
#else
#define MORTAL
#endif

/* ---- Writers ------------------------------------------------------------ */

/* look: marks, then voids, then the index, then the fences. */
inline look()
{
	byte marked, seen;
	short dead, lix;

	marked = MARKED;
	dead = ixdead;
#ifdef FENCES_FIRST
	seen = fenced;
	lix = ix;
#else
	lix = ix;
	seen = fenced;
#endif
	d_step {
#ifdef PARENT
		trusts = !seen;
#ifndef PARENT_DESPITE_MARK
		trusts = trusts && !marked;
#endif
#endif
#ifndef RELY_ON_FENCED_WRITER
		dead = dead | ALL_OF(seen);
#endif
		held = NAMED(LIVE(lix, dead)) & ~marked;
		lix = LIVE(lix, dead);
		dead = 0; marked = 0; seen = 0
	}
#ifdef LISTED
	/* What it listed is there to be read; or somebody was given up. */
	assert(!(lix & ~ix) || fenced);
#endif
	lix = 0
}

proctype writer(byte s) MORTAL
{
	byte held;
#ifdef PARENT
	bool trusts, parent;
#endif

#ifdef PARENT_EARLY
	parent = (COUNTING & 1) && !DELETED(und & ~undead);
#endif
#ifdef SESSION_AFTER_LOOK
	look();
announce:
	sess = sess | B(s);
#else
announce:
	sess = sess | B(s);
	look();
#endif
#ifdef PARENT
	/* What the old snapshot reaches is not looked up. */
	if
#ifdef PARENT_EARLY
	:: trusts -> held = parent
#else
	:: trusts -> held = (COUNTING & 1) && !DELETED(und & ~undead)
#endif
	:: else
	fi;
	trusts = 0; parent = 0;
#endif
	if
	:: held -> held = 0
	:: held = 0;
#ifdef NAME_FIRST
name:		ix = ix | OWN(s);
store:		packs = packs | PACK(s)
#elif defined(PUBLISH_FIRST)
store:		packs = packs | PACK(s);
		man = man | OWN(s);
name:		ix = ix | OWN(s)
#else
store:		packs = packs | PACK(s);
name:		ix = ix | OWN(s)
#endif
	fi;
#ifdef BEATS
	/* Who gave us up removed the session: the beat PUTs it again. */
	if
	:: sess = sess | B(s)
	:: skip
	fi;
#endif
publish:
	man = man | OWN(s);
confirm:
	atomic {
		if
#ifndef NO_CONFIRM
		:: fenced & B(s) -> goto leave
#endif
		:: else
		fi
	}
acknowledge:
	acked = acked | B(s);
leave:	sess = sess & ~B(s)
}

/* Who acknowledges in the place of a writer that died. */
proctype heir(byte s) MORTAL
{
	man & OWN(s);
	if
#ifndef HEIR_WITHOUT_CONFIRM
	:: fenced & B(s)
#endif
	:: !(fenced & B(s)) -> acked = acked | B(s)
#ifdef HEIR_WITHOUT_CONFIRM
	:: else -> acked = acked | B(s)
#endif
	fi
}

/* Undeleting, and copying what the region has deleted. */
proctype undeleter(byte s) MORTAL
{
	byte held;
#ifdef TAKE_BACK
	bool saw2;
#endif
#ifdef PARENT
	bool trusts;
#endif

#ifndef UNDELETE_WITHOUT_SESSION
announce:
	sess = sess | B(s);
#endif
	if
	:: COUNTING & OF_OLD
	:: else -> goto leave
	fi;
	look();
	if
	:: held -> held = 0
	:: held = 0;
store:		packs = packs | PACK(s);
name:		ix = ix | OWN(s)
	fi;
#ifndef UNDELETE_WITHOUT_MANIFEST
publish:
	man = man | OWN(s);
#endif
confirm:
	atomic {
		if
#ifndef NO_FIRST_CONFIRM
		:: fenced & B(s) -> goto leave
#endif
		:: else
		fi
	}
#ifdef TAKE_BACK
	saw2 = tomb2;
#endif
revoke:	d_step {
		und = und | B(s);
#ifdef TAKE_BACK
		if
		:: saw2 -> revokes2 = revokes2 | B(s); saw2 = 0
		:: else
		fi
#endif
	}
confirm_again:
	atomic {
		if
#ifdef TAKE_BACK
		:: fenced & B(s) -> goto take_back
#elif !defined(NO_SECOND_CONFIRM)
		:: fenced & B(s) -> goto leave
#endif
		:: else
		fi
	}
acknowledge:
	undacked = undacked | B(s);
#ifdef TAKE_BACK
	goto leave;
take_back:
	tomb2 = 1;
#endif
leave:	sess = sess & ~B(s)
}

/* ---- Readers ------------------------------------------------------------ */

#ifdef RR
proctype reader() MORTAL
{
	d_step {
		pin = 1;
		early = !busy && (COUNTING & ~(fenced << 1) & OF_OLD) &&
			(NAMED(LIVE(ix, ixdead | ALL_OF(fenced))) & packs);
		rix = (early -> LIVE(ix, ixdead) : 0)
	}
	d_step { pin = 0; early = 0; rix = 0 }
}
#endif

/* ---- Holds, locks, deletions -------------------------------------------- */

#ifdef RD
proctype guardian() MORTAL
{
	d_step { guard = 1; promised = !tomb }
}

proctype deleter() MORTAL
{
	if
	:: guard
	:: !guard -> tomb = 1
	fi
}
#endif

/* ---- Giving up ---------------------------------------------------------- */

inline give_up(v)
{
#if !defined(NO_FENCE) && !defined(FENCE_AFTER_LIST)
	fenced = fenced | B(v); /* fence */
#endif
#ifndef NO_VOID
#ifdef VOID_WITHOUT_LIST
	skip;
#elif defined(LIST_INDEX_FIRST)
	gi = ix & ALL_OF(B(v));
	gm = man & OWN(v);
	gu = und & B(v);
#else
	gu = und & B(v);
	gm = man & OWN(v);
	gi = ix & ALL_OF(B(v));
#endif
#ifdef FENCE_AFTER_LIST
	fenced = fenced | B(v);
#endif
	d_step { /* void */
		voided = voided | B(v);
		ixdead = ixdead | (ALL_OF(B(v)) & ~gi);
		mandead = mandead | (OWN(v) & ~gm);
		undead = undead | (B(v) & ~gu);
		gi = 0; gm = 0; gu = 0
	}
#endif
#ifdef KEEP_SESSION
	skip
#else
	sess = sess & ~B(v)
#endif
}

proctype fencer(byte v) MORTAL
{
	short gi;
	byte gm, gu;

	sess & B(v);
	give_up(v)
}

/* ---- Collectors --------------------------------------------------------- */

#ifdef NO_HALF
#define HALF 0
#else
#define HALF (fenced & ~voided)
#endif

/*
 * wait: a session of the census has left, or is given up; or it is alive, and
 * nothing goes.  A collector that is alive is not waited for.
 */
inline wait(who)
{
	d_step { q = ((who) | HALF) & ~B(s); i = 0 }
	do
	:: q & B(i) ->
		if
		:: !((sess | HALF) & B(i))
#ifndef WAIT_FOR_DEAD
		:: (sess | HALF) & B(i) -> give_up(i)
#endif
#ifdef CLEAN
		:: (sess & B(i)) && !quiet -> d_step { due = 0; duix = 0 }
#endif
#ifdef WAIT_FOR_DEAD
		:: sess & B(i) -> d_step { due = 0; duix = 0 }
#endif
#ifdef UNREADABLE_IS_GONE
		:: sess & B(i) & B(W0)
#endif
		:: (sess & B(i) & (B(C0) | B(C1))) && !quiet
		:: !(sess & B(i)) && (HALF & B(i)) && !quiet
		fi;
		d_step { q = q & ~B(i); i++ }
	:: atomic { q && !(q & B(i)) -> i++ }
	:: atomic { q == 0 -> i = 0; break }
	od;
#ifdef RR
	if
#ifndef WAIT_FOR_DEAD_PIN
	:: pin -> d_step { pin = 0; early = 0; rix = 0 }
#endif
	:: !pin || !quiet
	fi
#endif
}

/* judge and look again. */
inline survey()
{
	marked = MARKED;
	d_step { due = due & marked; duix = duix & MARKEDIX; gone = marked & ~packs }
	d_step { others = (sess & ~B(s)) != 0 }
#ifdef RR
	d_step {
		busy = busy | B(c);
#ifndef NO_PIN
		pinned = pin
#endif
	}
#endif
	d_step {
		mdead = mandead; udead = undead;
#ifdef RD
		guarded = guard /* locks are read before the deletions */
#endif
	}
	lman = man;
	d_step {
		letgo = (DELETED(und & ~udead) && (lman & ~mdead & OF_OLD));
#ifdef RD
		letgo = letgo && !guarded;
		guarded = 0;
#endif
		need = (lman & ~mdead & OF_WRITERS) ||
		       ((lman & ~mdead & OF_OLD) && !letgo);
		lman = 0; mdead = 0; udead = 0;
#ifndef NO_PINNED_MANIFESTS
		letgo = letgo && !pinned;
#endif
	}
	/* Manifests that may go: list, sessions, once more whether deleted. */
	if
	:: letgo ->
		lman = man & OF_OLD;
#ifndef DELETE_MANIFEST_OF_SESSION
		lman = lman & ~(sess << 1);
#endif
		udead = undead;
		d_step {
			if
#ifndef NO_SECOND_READ
			:: !DELETED(und & ~udead) -> lman = 0
#endif
			:: else
			fi;
			udead = 0
		}
	:: else
	fi;
	dead = ixdead;
	lix = ix;
	d_step {
		doubted = LIVE(lix, dead) & ALL_OF(fenced);
#ifdef RELY_ON_FENCED_COLLECTOR
		doubted = 0
#endif
	}
	if
	:: doubted ->
adopt:		d_step {
			names[c] = NAMED(doubted) & ~gone;
			super[c] = (doubted | (lix & SUPER(lix & ~dead))) & ~ADOPTED(c);
			doubted = 0;
			ix = ix | ADOPTED(c);
			lix = lix | ADOPTED(c)
		}
	:: else
	fi;
	d_step {
		if
		:: pinned ->
#ifndef NO_PINNED_PACKS
			due = 0;
#endif
#ifndef NO_PINNED_INDEX
			duix = 0;
#endif
			skip
		:: else
		fi;
		held = NAMED(LIVE(lix, dead)) &
#ifdef MARKED_HOLDS
		       ~(due | gone);
#else
		       ~marked;
#endif
	}
}

/* copy, confirm, delete. */
inline act()
{
	skip;
#ifndef NO_COPY
	if
	:: need && !held ->
		atomic {
			if
			:: NAMED(LIVE(lix, dead)) & packs
			:: else -> goto leave
			fi
		}
copy:		packs = packs | PACK(s);
name:		d_step { ix = ix | OWN(s); lix = lix | OWN(s) }
	:: else
	fi;
#endif
confirm:
	atomic {
		if
#ifndef NO_COLLECTOR_CONFIRM
		:: fenced & B(s) -> goto leave
#endif
		:: else
		fi
	}
	/* reconsider: once more, before anything goes. */
#ifndef NO_RECONSIDER
	atomic {
		if
#if !defined(NO_PIN) && !defined(NO_PINNED_MANIFESTS)
		:: letgo && pin -> goto leave
#endif
		:: letgo && !DELETED(und & ~undead) -> goto leave
		:: else
		fi
	}
#ifdef RD
	atomic {
		if
		:: letgo && guard -> goto leave
		:: else
		fi
	}
#endif
#endif
	letgo = 0;
	if
	:: lman ->
delete_manifests: man = man & ~lman
	:: else
	fi;
	lman = 0;
delete:	d_step { packs = packs & ~due; gone = gone | due; due = 0 }
#ifdef CLEAN
	/* Voided ones go; superseded ones by way of a mark. */
	d_step {
#ifdef SUPERSEDED_AT_ONCE
		doubted = lix & (dead | SUPER(lix & ~dead));
#else
		doubted = lix & (dead | (SUPER(lix & ~dead) & duix));
#endif
		if
		:: pinned ->
#ifndef NO_PINNED_INDEX
			doubted = 0;
#endif
			skip
		:: else
		fi;
		duix = 0; pinned = 0
	}
delete_index:
	d_step { ix = ix & ~doubted; lix = lix & ~doubted; doubted = 0 }
#endif
	busy = busy & ~B(c)
}

/* Marks of which nothing is there, nor named by any index object. */
#define DONE(k) ((marks >> (k) & 1) && !(mark[k] & (~gone | NAMED(lix))) \
		 && !(markix[k] & lix))

/* clean: what is gone is left out of the index, and then forgotten. */
inline clean()
{
	d_step { /* merge: it supersedes what those superseded, too */
#ifdef MERGE_DROPS_MARKED
		gone = gone | marked;
#endif
#ifdef MERGE_KEEPS_GONE
		names[3 + c] = NAMED(LIVE(lix, dead));
#else
		names[3 + c] = NAMED(LIVE(lix, dead)) & ~gone;
#endif
#ifdef MERGE_FORGETS
		super[3 + c] = LIVE(lix, dead) & ~MERGED(c);
#else
		super[3 + c] = lix & ~dead & ~MERGED(c);
#endif
		ix = ix | MERGED(c);
		lix = lix | MERGED(c)
	}
	d_step {
#ifdef COUNTING_ONLY
		lix = LIVE(lix, dead);
#endif
		q = 0;
#ifndef DROP_MARK_EARLY
		if
		:: !others ->
#endif
			q = DONE(0) | DONE(1) * 2 | DONE(2) * 4;
#ifndef DROP_MARK_EARLY
		:: else
		fi
#endif
	}
drop_marks:
	d_step { marks = marks & ~q; q = 0 }
}

/* Superseded, by what counts for good: its session has no fence. */
inline superseded()
{
	dead = ixdead;
	lix = ix;
	d_step {
#ifdef ANY_SUPERSEDE
		skip;
#elif defined(SUPER_BY_VOID)
		dead = dead | ALL_OF(fenced & ~voided) | ixdead;
#else
		dead = dead | ALL_OF(fenced);
#endif
		duix = lix & SUPER(lix & ~dead);
		lix = 0; dead = 0
	}
}

inline forget()
{
	d_step {
		marked = 0; gone = 0; others = 0; need = 0; held = 0; lix = 0;
		dead = 0; duix = 0; m = 0; letgo = 0; pinned = 0;
		busy = busy & ~B(c)
	}
}

#define COLLECTOR_STATE \
	byte marked, gone, held, lman, mdead, udead, due, lsess; \
	byte q, i, m, gm, gu; \
	short dead, lix, doubted, duix, gi; \
	bool need, letgo, pinned, others, guarded

proctype collector(byte c, s) MORTAL
{
	COLLECTOR_STATE;

#ifdef RC2
	if
	:: c == 2 -> ended0
	:: c != 2
	fi;
#endif
announce:
#ifdef NO_COLLECTOR_SESSION
	skip;
#else
	sess = sess | B(s);
#endif
#ifdef CLEAN
	superseded();
#endif
judge:	atomic {
		m = c;
		if
		MARKS
#ifdef CLEAN
		:: duix
#endif
		:: c != 0 && marks & 1 -> m = 0; due = mark[0]; duix = markix[0]
		:: c != 1 && marks & 2 -> m = 1; due = mark[1]; duix = markix[1]
		:: c != 2 && marks & 4 -> m = 2; due = mark[2]; duix = markix[2]
#ifdef CLEAN
		/* Grace is not over: it merges, and forgets. */
		:: marks & ~B(c) -> m = 3; due = 0; duix = 0
#endif
		:: else -> goto leave
		fi
	}
	if
	:: m == c ->
#ifdef CENSUS_FIRST
		lsess = sess;
#endif
mark_:		d_step {
			mark[c] = due; markix[c] = duix; marks = marks | B(c)
		}
#ifdef DIES
		c != 0;
#endif
#ifndef CENSUS_FIRST
		lsess = sess;
#endif
census_:	d_step {
			/* Another may have put it in our place. */
			census[c] = ((censuses & B(c)) -> census[c] : lsess);
			lsess = 0;
			censuses = censuses | B(c)
		}
	:: else
	fi;
#ifdef NO_LOOK_AGAIN
	survey();
#endif
#ifndef NO_CENSUS_WAIT
	atomic {
		if
		:: m == 3
		:: m != 3 && censuses & B(m) -> lsess = census[m]
#ifdef NO_CENSUS_IS_NONE
		:: else
#else
		:: else -> lsess = sess
#endif
		fi
	}
#ifndef NO_CENSUS_IS_NONE
	/* Its collector may be dead: who is not listed yet will see the mark. */
	if
	:: m != 3 && !(censuses & B(m)) ->
complete:	d_step {
			if
			:: !(censuses & B(m)) ->
				census[m] = lsess;
				censuses = censuses | B(m)
			:: else
			fi
		}
	:: else
	fi;
#endif
	wait(lsess);
	lsess = 0;
#endif
#ifndef NO_LOOK_AGAIN
	survey();
#endif
	act();
#ifdef CLEAN
	clean();
#endif
leave:	forget();
#ifdef RC2
	d_step {
		sess = sess & ~B(s);
		if
		:: c == 0 -> ended0 = 1
		:: else
		fi
	}
#else
	sess = sess & ~B(s)
#endif
}

/* ---- The survivor ------------------------------------------------------- */

/*
 * Everybody else died, in the midst of whatever they did.  Who collects again
 * and again then has waited for all of them at once, one lease, and comes to
 * an end: nothing is left but what is needed, once.
 */
#ifdef SURVIVOR
bool watched, lapsed;
byte leases;

ltl served { [] (quiet -> <> finished) }

#define SETTLED (marks == 0 && sess == B(C1) && !pin && NAMED(ix) == packs \
		 && !(packs & (packs - 1)) && !(fenced & ~voided) \
		 && !packs == !((COUNTING & OF_WRITERS) || OLD_THERE))

/* The survivor's own clock; fairness is that time passes. */
#ifdef LEASE_OF_THE_DEAD
proctype lease() MORTAL
#else
proctype lease()
#endif
{
end:	do
	:: watched && !lapsed -> lapsed = 1
	od
}

/* FAR_AHEAD: the others' clocks are, so that their marks are never due. */
#define OWN_MARK   ((marks >> 1 & 1) * mark[1])
#define OWN_MARKIX ((marks >> 1 & 1) * markix[1])

inline note_due()
{
	d_step {
#ifdef FAR_AHEAD
		due = OWN_MARK;
		duix = OWN_MARKIX;
#else
		due = MARKED;
		duix = MARKEDIX;
#endif
		lsess = sess | ((marks & censuses & 1) * census[0]) |
			((marks & censuses) >> 2 & 1) * census[2]
	}
}

/* What nobody needs, but for one holder of what is needed. */
inline garbage()
{
	d_step {
		held = NAMED(LIVE(lix, dead)) & packs & ~MARKED;
		held = (need -> held & -held : 0);
#if defined(FAR_AHEAD) && !defined(TRUST_ITS_CLOCK)
		due = packs & ~OWN_MARK & ~held
#else
		due = packs & ~MARKED & ~held
#endif
	}
	superseded();
	d_step {
#if defined(FAR_AHEAD) && !defined(TRUST_ITS_CLOCK_INDEX)
		duix = duix & ~OWN_MARKIX;
#else
		duix = duix & ~MARKEDIX;
#endif
		if
		:: !(marks & B(c)) && (due || duix) ->
			mark[c] = due; markix[c] = duix; marks = marks | B(c)
		:: else
		fi
	}
}

proctype survivor(byte c, s)
{
	COLLECTOR_STATE;

	quiet;
	sess = sess | B(s);
	do
	:: SETTLED -> break
	:: else ->
		note_due();
		if
		:: (sess & ~B(s)) || pin ->
			watched = 1;
			lapsed;
			d_step { watched = 0; lapsed = 0; leases++ }
		:: else
		fi;
		wait(lsess);
		survey();
		act();
		clean();
		garbage();
		forget()
	od;
	finished = 1;
	assert(leases <= 1);
	(false);
leave:	assert(false)
}

proctype killer()
{
	quiet = 1
}
#endif

/* ---- Who is there ------------------------------------------------------- */

init {
	atomic {
		run monitor();
#ifdef RW0
		run writer(W0);
#endif
#ifdef RW1
		run writer(W1);
#endif
#ifdef RA
		run heir(W0);
#endif
#ifdef RU
		run undeleter(UN);
#endif
#ifdef RU2
		run undeleter(W1);
#endif
#ifdef RR
		run reader();
#endif
#ifdef RD
		run guardian();
		run deleter();
#endif
#ifdef RC0
		run collector(0, C0);
#endif
#ifdef RC1
		run collector(1, C1);
#endif
#ifdef RC2
		run collector(2, C2);
#endif
#ifdef SURVIVOR
		run killer();
		run lease();
		run survivor(1, C1);
#endif
#ifdef FW0
		run fencer(W0);
#endif
#ifdef FW1
		run fencer(W1);
#endif
#ifdef FU
		run fencer(UN);
#endif
#ifdef FC0
		run fencer(C0);
#endif
#ifdef FC1
		run fencer(C1);
#endif
		skip
	}
}
