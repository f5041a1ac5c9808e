/*
 * The protocol of writers, collectors and readers (storage/FORMAT.md, chapter
 * 10), for spin.  run.py has the table of configurations and mutants, and
 * prints the states of each.
 *
 * Read in this order: the store and what must hold; a writer; giving up; the
 * collector from below (collector, then survey, act, clean); the survivor.
 *
 * One chunk; each pack holds it.  Only single GET, PUT and LIST are steps of
 * their own.  Whoever is not scheduled any more is dead; a session may be
 * given up at any time; grace is over at any time.  A collector may mark any
 * pack, whether or not somebody needs it: copying must make that good.  The
 * voids are kept as what they leave out (ixdead, mandead, undead): the next of
 * them leaves out more.  Not modelled: the GET of the fence before naming,
 * which only saves work; receipts, keys, quarantines, inventories, damage;
 * trees; a second deletion of a snapshot; a second mark of one collector; what
 * supersedes is one level deep.
 *
 * That the dead delay nobody for ever is checked as safety: once everybody
 * else stopped for good, wherever they were, ROUNDS rounds of one collector
 * (each one lease, as nobody is waited for twice) end with what is needed in
 * one pack, no mark, no session, and an index that names no more than that.
 *
 * -D switches.  RW0 RW1 writers, RU RU2 two undeleting the old snapshot, RR a
 * reader, RC0 RC1 collectors (CLEAN: with merging and removal; MARK_ANY: mark
 * either old pack), Fxx one who gives up session xx and does nothing else,
 * SURVIVOR the one that outlives all others.  OLDPACKS: old packs, as bits;
 * TOMB: the old snapshot is deleted, past its time.  BEATS: a session that was
 * removed is PUT again by its beat.  Any other switch leaves a step out.
 */
#define B(n) (1 << (n))

#ifndef OLDPACKS
#define OLDPACKS 1
#endif
#ifndef TOMB
#define TOMB 1
#endif
#ifdef MARK_ANY
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

#define OWN(s)	   B(1 + (s))	/* index object, or manifest, of session s */
#define PACK(s)	   B(2 + (s))
#define ADOPTED(c) B(6 + (c))
#define MERGED(c)  B(8 + (c))

byte sess, fenced, voided;
byte packs = OLDPACKS;
short ix = 1, ixdead;
byte names[4];
short super[4];
byte man = 1, mandead;
byte und, undead;
byte mark[2], census[2], marks, censuses;
short markix[2];
bool pin;
#ifdef TAKE_BACK
bool tomb2;
byte revokes2;
#endif

/* What only the properties look at. */
byte acked, undacked, busy;
bool early;
bool quiet, finished;

/* All index objects of these sessions, there or not. */
#define ALL_OF(x) ((((x) << 1) & 62) | (((x) >> C0) & 1) * 320 \
		   | (((x) >> C1) & 1) * 640)
#define SUPER(x)  ((((x) >> 6) & 1) * super[0] | (((x) >> 7) & 1) * super[1] \
		   | (((x) >> 8) & 1) * super[2] | (((x) >> 9) & 1) * super[3])
/* Of the index objects x those that count, and are not superseded. */
#define LIVE(x, dead) ((x) & ~(dead) & ~SUPER((x) & ~(dead)))
/* The packs that these name: sessions name their own pack. */
#define NAMED(x)  (((x) & 1) * OLDPACKS | (((x) & 62) << 1) \
		   | (((x) >> 6) & 1) * names[0] | (((x) >> 7) & 1) * names[1] \
		   | (((x) >> 8) & 1) * names[2] | (((x) >> 9) & 1) * names[3])
#define MARKED	  ((marks & 1) * mark[0] | (marks >> 1 & 1) * mark[1])

/* Manifests of the writers' snapshots, and of the one that is deleted. */
#ifdef RU2
#define OF_WRITERS 2
#define OF_OLD	   (1 | OWN(W1) | OWN(UN))
#else
#define OF_WRITERS (OWN(W0) | OWN(W1))
#define OF_OLD	   (1 | OWN(UN))
#endif
#ifdef TAKE_BACK
#define DELETED(u) (TOMB && (!(u) || (tomb2 && !(revokes2 & (u)))))
#else
#define DELETED(u) (TOMB && !(u))
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
#define SAFE_READER (!(pin && early) || (HELD && (COUNTING & OF_OLD)))

proctype monitor()
{
end:	atomic {
		!(SAFE_WRITERS && SAFE_UNDELETE && SAFE_CHUNKS && SAFE_INDEX &&
		  SAFE_READER);
		assert(SAFE_WRITERS);
		assert(SAFE_UNDELETE);
		assert(SAFE_CHUNKS);
		assert(SAFE_INDEX);
		assert(SAFE_READER)
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
#ifdef INDEX_BEFORE_MARKS
	lix = ix;
	dead = ixdead;
	marked = MARKED;
#else
	marked = MARKED;
	dead = ixdead;
	lix = ix;
#endif
	d_step {
#ifndef RELY_ON_FENCED_WRITER
		dead = dead | ALL_OF(fenced);
#endif
		held = NAMED(LIVE(lix, dead)) & ~marked;
		lix = 0; dead = 0; marked = 0
	}
}

proctype writer(byte s) MORTAL
{
	byte marked, held;
	short dead, lix;

#ifdef SESSION_AFTER_LOOK
	look();
announce:
	sess = sess | B(s);
#else
announce:
	sess = sess | B(s);
	look();
#endif
	if
	:: held -> held = 0
	:: held = 0;
store:		packs = packs | PACK(s);
name:		ix = ix | OWN(s)
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

/* Undeleting, and copying what the region has deleted. */
proctype undeleter(byte s) MORTAL
{
	byte marked, held;
	short dead, lix;
#ifdef TAKE_BACK
	bool saw2;
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
publish:
	man = man | OWN(s);
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

proctype reader() MORTAL
{
	d_step {
		pin = 1;
		early = !busy && (COUNTING & ~(fenced << 1) & OF_OLD) &&
			(NAMED(LIVE(ix, ixdead | ALL_OF(fenced))) & packs)
	}
	d_step { pin = 0; early = 0 }
}

/* ---- Giving up ---------------------------------------------------------- */

inline give_up(v)
{
#ifndef NO_FENCE
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
	d_step { /* void */
		voided = voided | B(v);
		ixdead = ixdead | (ALL_OF(B(v)) & ~gi);
		mandead = mandead | (OWN(v) & ~gm);
		undead = undead | (B(v) & ~gu);
		gi = 0; gm = 0; gu = 0
	}
#endif
	sess = sess & ~B(v)
}

proctype fencer(byte v) MORTAL
{
	short gi;
	byte gm, gu;

	sess & B(v);
	give_up(v)
}

/* ---- Collectors --------------------------------------------------------- */

#define HALF (fenced & ~voided)

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
		:: (sess & B(i)) && !quiet -> due = 0
#endif
#ifdef WAIT_FOR_DEAD
		:: sess & B(i) -> due = 0
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
	:: pin -> pin = 0; early = 0
	:: !pin || !quiet
	fi
#endif
}

/* judge and look again. */
inline survey()
{
	marked = MARKED;
	d_step { due = due & marked; gone = marked & ~packs }
	d_step { others = (sess & ~B(s)) != 0 }
#ifdef RR
	d_step {
		busy++;
#ifndef NO_PIN
		pinned = pin
#endif
	}
#endif
	d_step { mdead = mandead; udead = undead }
	lman = man;
	d_step {
		letgo = (DELETED(und & ~udead) && (lman & ~mdead & OF_OLD));
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
			:: !DELETED(und & ~udead) -> lman = 0
			:: else
			fi;
			udead = 0; letgo = 0
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
		:: pinned -> due = 0; pinned = 0
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
	if
	:: lman ->
delete_manifests: man = man & ~lman
	:: else
	fi;
	lman = 0;
delete:	d_step {
		packs = packs & ~due;
		gone = gone | due;
		due = 0;
#ifdef RR
		busy--
#endif
	}
}

/* Marks of which nothing is there, nor named by any index object. */
#define DONE(k) ((marks >> (k) & 1) && !(mark[k] & (~gone | NAMED(lix))) \
		 && !(markix[k] & lix))

/* clean: what is gone is left out of the index, and then forgotten. */
inline clean()
{
	d_step { /* merge */
#ifdef MERGE_DROPS_MARKED
		gone = gone | marked;
#endif
		/* Voided ones, and by way of a mark superseded ones, go. */
		doubted = lix & (dead | (SUPER(lix & ~dead) & duix));
		names[2 + c] = NAMED(LIVE(lix, dead)) & ~gone;
		super[2 + c] = lix & ~dead & ~MERGED(c);
		ix = ix | MERGED(c);
		lix = lix | MERGED(c)
	}
delete_index:
	d_step { ix = ix & ~doubted; lix = lix & ~doubted; doubted = 0; duix = 0 }
	d_step {
#ifdef COUNTING_ONLY
		lix = LIVE(lix, dead);
#endif
		q = 0;
#ifndef DROP_MARK_EARLY
		if
		:: !others ->
#endif
			q = DONE(0) | DONE(1) * 2;
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
		dead = 0; duix = 0; m = 0
	}
}

#define COLLECTOR_STATE \
	byte marked, gone, held, lman, mdead, udead, due, lsess; \
	byte q, i, m, gm, gu; \
	short dead, lix, doubted, duix, gi; \
	bool need, letgo, pinned, others

proctype collector(byte c, s) MORTAL
{
	COLLECTOR_STATE;

announce:
	sess = sess | B(s);
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
		:: marks & B(1 - c) ->
			m = 1 - c; due = mark[m]; duix = markix[m]
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
#ifndef CENSUS_FIRST
		lsess = sess;
#endif
census_:	d_step {
			census[c] = lsess; lsess = 0;
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
		:: censuses & B(m) -> lsess = census[m]
		:: else -> lsess = sess
		fi
	}
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
	sess = sess & ~B(s)
}

/*
 * Everybody else died, in the midst of whatever: who collects again and again
 * is done after ROUNDS rounds, one lease each.
 */
#ifndef ROUNDS
#define ROUNDS 4
#endif
proctype survivor(byte c, s)
{
	COLLECTOR_STATE;
	byte round;

	quiet;
	sess = sess | B(s);
	do
	:: round < ROUNDS ->
		d_step {
			due = MARKED;
			duix = ((marks & 1) -> markix[0] : 0) | ((marks & 2) -> markix[1] : 0);
			lsess = ((marks & 1) -> ((censuses & 1) -> census[0] : sess) : 0);
			lsess = lsess | sess
		}
		wait(lsess);
		survey();
		act();
		clean();
		/* What nobody needs, but for one holder of what is needed. */
		d_step {
			held = NAMED(LIVE(lix, dead)) & packs & ~MARKED;
			held = (need -> held & -held : 0);
			due = packs & ~MARKED & ~held
		}
		superseded();
		d_step {
			if
			:: !(marks & B(c)) && (due || duix) ->
				mark[c] = due; markix[c] = duix; marks = marks | B(c)
			:: else
			fi
		}
		forget();
		round++
	:: else -> break
	od;
	finished = 1;
leave:	assert(finished)
}

proctype killer()
{
	quiet = 1;
	timeout;
	assert(finished);
	assert(marks == 0);
	assert(sess == B(C1) && !pin);
	assert(NAMED(ix) == packs && !(packs & (packs - 1)));
	assert(!packs == !((COUNTING & OF_WRITERS) || OLD_THERE))
}

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
#ifdef RU
		run undeleter(UN);
#endif
#ifdef RU2
		run undeleter(W1);
#endif
#ifdef RR
		run reader();
#endif
#ifdef RC0
		run collector(0, C0);
#endif
#ifdef SURVIVOR
		run killer();
		run survivor(1, C1);
#endif
#ifdef RC1
		run collector(1, C1);
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
