/* SPDX-License-Identifier: Apache-2.0 */
/* quorum.c - slu_walquorum of walstream.h. */
#include <sluice/walstream.h>

#include <errno.h>
#include <stdlib.h>

struct member {
	bool present;
	uint64_t lsn[SLU_WAL_LEVELS];
};

struct slu_walquorum {
	enum slu_walquorum_rule rule;
	unsigned needed;
	unsigned member_count;
	uint64_t reached_lsn[SLU_WAL_LEVELS];
	struct member members[];
};

int slu_walquorum_create(enum slu_walquorum_rule rule, unsigned needed, unsigned members,
                         slu_walquorum **ret_quorum)
{
	slu_walquorum *quorum;

	if (needed == 0 || needed > members || members > SLU_WALQUORUM_MEMBERS_MAX ||
	    (rule != SLU_WALQUORUM_FIRST && rule != SLU_WALQUORUM_ANY))
		return -EINVAL;
	quorum = calloc(1, sizeof(*quorum) + members * sizeof(quorum->members[0]));
	if (!quorum)
		return -ENOMEM;
	quorum->rule = rule;
	quorum->needed = needed;
	quorum->member_count = members;
	*ret_quorum = quorum;
	return 0;
}

void slu_walquorum_destroy(slu_walquorum *quorum)
{
	free(quorum);
}

/* Descending. */
static int compare_lsn(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a < b) - (a > b);
}

/* Up to where enough present members are; 0: too few are present. */
static uint64_t level_lsn(const slu_walquorum *quorum, unsigned level)
{
	uint64_t lsn[SLU_WALQUORUM_MEMBERS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < quorum->member_count; i++) {
		/* FIRST: those behind the k-th do not decide */
		if (quorum->rule == SLU_WALQUORUM_FIRST && count == quorum->needed)
			break;
		if (quorum->members[i].present)
			lsn[count++] = quorum->members[i].lsn[level];
	}
	if (count < quorum->needed)
		return 0;
	qsort(lsn, count, sizeof(lsn[0]), compare_lsn);
	return lsn[quorum->needed - 1];
}

static bool advance(slu_walquorum *quorum)
{
	bool moved = false;

	for (unsigned level = 0; level < SLU_WAL_LEVELS; level++) {
		uint64_t lsn = level_lsn(quorum, level);

		if (lsn > quorum->reached_lsn[level]) {
			quorum->reached_lsn[level] = lsn;
			moved = true;
		}
	}
	return moved;
}

bool slu_walquorum_update(slu_walquorum *quorum, unsigned member_idx,
                          const struct slu_wal_positions *positions)
{
	struct member *member;

	if (member_idx >= quorum->member_count)
		return false;
	member = &quorum->members[member_idx];
	member->present = true;
	member->lsn[SLU_WAL_WRITE] = positions->write_lsn;
	member->lsn[SLU_WAL_FLUSH] = positions->flush_lsn;
	member->lsn[SLU_WAL_APPLY] = positions->apply_lsn;
	return advance(quorum);
}

bool slu_walquorum_leave(slu_walquorum *quorum, unsigned member_idx)
{
	if (member_idx >= quorum->member_count)
		return false;
	quorum->members[member_idx].present = false;
	/* FIRST: one further down takes its place, and may be further on */
	return advance(quorum);
}

uint64_t slu_walquorum_lsn(const slu_walquorum *quorum, enum slu_wal_level level)
{
	return quorum->reached_lsn[level];
}

bool slu_walquorum_decides(const slu_walquorum *quorum, unsigned member_idx)
{
	unsigned before = 0;

	if (member_idx >= quorum->member_count || !quorum->members[member_idx].present)
		return false;
	for (unsigned i = 0; i < member_idx; i++)
		before += quorum->members[i].present;
	return quorum->rule == SLU_WALQUORUM_ANY || before < quorum->needed;
}
