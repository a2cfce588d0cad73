/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_terms.c - what PostgreSQL servers say to each other about a stream, and
 * when they wait busily; both without PostgreSQL. */
#include "tests/unit/unit.h"
#include "walstream/pg/crowd.h"
#include "walstream/pg/spin.h"
#include "walstream/pg/terms.h"

#include <stdio.h>
#include <string.h>

#define US UINT64_C(1000)

/* ---- terms ----------------------------------------------------------------------- */

static const struct terms_wish wish = {
        .version = 1, .cluster = UINT64_MAX, .node = "host-1.example"};

static struct terms_offer offer_make(void)
{
	struct terms_offer offer = {.version = 1, .stream = 0xabc, .node = "a"};

	for (size_t i = 0; i < sizeof(offer.token.bytes); i++)
		offer.token.bytes[i] = (uint8_t)(i * 17);
	return offer;
}

static void a_wish_is_read_as_it_was_written(void)
{
	char text[TERMS_TEXT_BYTES];
	struct terms_wish again;

	terms_wish_write(&wish, text);
	CU_ASSERT_STRING_EQUAL(text, "1:18446744073709551615:host-1.example");
	CU_ASSERT_TRUE_FATAL(terms_wish_read(text, &again));
	CU_ASSERT_EQUAL(again.cluster, UINT64_MAX);
	CU_ASSERT_STRING_EQUAL(again.node, wish.node);
}

static void an_offer_is_read_as_it_was_written(void)
{
	struct terms_offer offer = offer_make(), again;
	char text[TERMS_TEXT_BYTES];

	terms_offer_write(&offer, text);
	CU_ASSERT_STRING_EQUAL(text, "ok 1 0000000000000abc 00112233445566778899aabbccddeeff a");
	CU_ASSERT_TRUE_FATAL(terms_offer_read(text, &again));
	CU_ASSERT_EQUAL(again.stream, 0xabc);
	CU_ASSERT_EQUAL(memcmp(&again.token, &offer.token, sizeof(again.token)), 0);
	CU_ASSERT_STRING_EQUAL(again.node, "a");
}

static void an_offer_that_was_cut_short_is_none(void)
{
	struct terms_offer offer = offer_make(), again;
	char text[TERMS_TEXT_BYTES];

	terms_offer_write(&offer, text);
	for (size_t length = strlen(text); length-- > 0;) {
		text[length] = '\0';
		CU_ASSERT_FALSE(terms_offer_read(text, &again));
	}
}

static void malformed_terms_are_refused(void)
{
	static const char *const wishes[] = {
	        "",
	        "1",
	        "1:",
	        "1:2",
	        "1:2:",
	        ":2:a",
	        "-1:2:a",
	        "1:-2:a",
	        "1: 2:a",
	        "1:2:a b",
	        "1:2:\x7f",
	        "x:2:a",
	        "1:0x2:a",
	        "1:18446744073709551616:a",
	        "99999999999:2:a",
	        "1:2:0123456789012345678901234567890123456789012345678901234567890123",
	};
	static const char *const offers[] = {
	        "",
	        "no ",
	        "ok",
	        "OK 1 1 00112233445566778899aabbccddeeff a",
	        "ok 1 1 0011223344556677 8899aabbccddeeff a",
	        "ok 1 1 00112233445566778899aabbccddeeffff a",
	        "ok 1 1 -0112233445566778899aabbccddeeff a",
	        "ok 1 g 00112233445566778899aabbccddeeff a",
	        "ok 1 1 00112233445566778899aabbccddeeff ",
	        "ok 1 1 00112233445566778899aabbccddeeff \t",
	};
	struct terms_wish wished;
	struct terms_offer offered;

	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++)
		CU_ASSERT_FALSE(terms_wish_read(wishes[i], &wished));
	for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++)
		CU_ASSERT_FALSE(terms_offer_read(offers[i], &offered));
}

static void another_version_is_recognized_whatever_follows(void)
{
	struct terms_offer offered;
	struct terms_wish wished;

	CU_ASSERT_TRUE(terms_wish_read("2:anything", &wished));
	CU_ASSERT_EQUAL(wished.version, 2);
	CU_ASSERT_TRUE(terms_offer_read("ok 7 anything", &offered));
	CU_ASSERT_EQUAL(offered.version, 7);
}

static void a_refusal_has_its_reason(void)
{
	CU_ASSERT_STRING_EQUAL(terms_refusal("no it is off"), "it is off");
	CU_ASSERT_PTR_NULL(terms_refusal("ok 1"));
	CU_ASSERT_PTR_NULL(terms_refusal(""));
}

static void a_cluster_id_is_any_number_but_zero(void)
{
	uint64_t cluster;

	CU_ASSERT_TRUE(terms_cluster_read("42", &cluster));
	CU_ASSERT_EQUAL(cluster, 42);
	CU_ASSERT_FALSE(terms_cluster_read("0", &cluster));
	CU_ASSERT_FALSE(terms_cluster_read("", &cluster));
	CU_ASSERT_FALSE(terms_cluster_read("4x", &cluster));
	CU_ASSERT_FALSE(terms_cluster_read("-4", &cluster));
}

/* ---- spinning ---------------------------------------------------------------------- */

static unsigned crowd_asked;

static bool quiet(uint64_t now_ns)
{
	crowd_asked++;
	return false;
}

static bool crowded(uint64_t now_ns)
{
	crowd_asked++;
	return true;
}

/* One wait whose news come after that time; whether it spun. */
static bool wait_once(struct spin *spin, uint64_t *now_ns, uint64_t news_ns, spin_crowded *crowd)
{
	uint64_t limit_ns = 40 * US;
	uint64_t until_ns = spin_begin(spin, limit_ns, *now_ns, crowd);
	bool spins = until_ns > *now_ns;

	CU_ASSERT_TRUE(until_ns == *now_ns || until_ns == *now_ns + limit_ns);
	if (*now_ns + news_ns > until_ns)
		spin_over(spin);
	*now_ns += news_ns;
	spin_end(spin, *now_ns);
	return spins;
}

static unsigned waits(struct spin *spin, unsigned count, uint64_t news_ns, spin_crowded *crowd)
{
	uint64_t now_ns = 1000000 * US;
	unsigned spun = 0;

	for (unsigned i = 0; i < count; i++)
		spun += wait_once(spin, &now_ns, news_ns, crowd);
	return spun;
}

static void spins_while_news_come_soon(void)
{
	struct spin spin = {0};

	CU_ASSERT_EQUAL(waits(&spin, 1000, 10 * US, quiet), 1000);
	CU_ASSERT_EQUAL(spin.spins, 1000);
	CU_ASSERT_EQUAL(spin.sleeps, 0);
}

static void sleeps_when_news_take_long(void)
{
	struct spin spin = {0};

	CU_ASSERT_TRUE(waits(&spin, 1000, 300 * US, quiet) < 10);
	CU_ASSERT_EQUAL(spin.spins, 0);
	CU_ASSERT_EQUAL(spin.sleeps, 1000);
}

static void tries_ever_less_where_it_is_not_known(void)
{
	struct spin spin = {0};

	/* longer than the limit, but not so much that a wake-up could not be the reason */
	CU_ASSERT_TRUE(waits(&spin, 1000, 60 * US, quiet) < 20);
	CU_ASSERT_EQUAL(spin.sleeps, 1000);
}

static void spins_again_when_news_come_sooner(void)
{
	struct spin spin = {0};

	waits(&spin, 1000, 300 * US, quiet);
	CU_ASSERT_TRUE(waits(&spin, 1000, 20 * US, quiet) > 800);
}

static void a_few_long_waits_do_not_end_it(void)
{
	struct spin spin = {0};
	uint64_t now_ns = 1000000 * US;
	unsigned spun = 0;

	for (unsigned i = 0; i < 1000; i++)
		spun += wait_once(&spin, &now_ns, i % 4 ? 20 * US : 100000 * US, quiet);
	CU_ASSERT_TRUE(spun > 300);
	CU_ASSERT_TRUE(spin.spins > 200);
}

static void never_spins_in_a_crowd(void)
{
	struct spin spin = {0};

	crowd_asked = 0;
	CU_ASSERT_EQUAL(waits(&spin, 100, 10 * US, crowded), 0);
	CU_ASSERT_EQUAL(crowd_asked, 100);
	CU_ASSERT_EQUAL(spin.sleeps, 100);
}

static void never_spins_with_a_limit_of_zero(void)
{
	struct spin spin = {0};

	CU_ASSERT_EQUAL(spin_begin(&spin, 0, 7, quiet), 7);
}

static void a_crowd_is_more_than_there_are_cores_for_a_while(void)
{
	struct crowd crowd = {0};

	crowd_note(&crowd, 2);
	CU_ASSERT_FALSE(crowd_exceeds(&crowd, 2));
	crowd_note(&crowd, 5); /* for a moment */
	CU_ASSERT_FALSE(crowd_exceeds(&crowd, 2));
	for (unsigned i = 0; i < 8; i++)
		crowd_note(&crowd, 5);
	CU_ASSERT_TRUE(crowd_exceeds(&crowd, 2));
	for (unsigned i = 0; i < 24; i++)
		crowd_note(&crowd, 2);
	CU_ASSERT_FALSE(crowd_exceeds(&crowd, 2));
	CU_ASSERT_TRUE(crowd_exceeds(&crowd, 1)); /* no other core to wait for */
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(a_wish_is_read_as_it_was_written),
	        UNIT_TEST(an_offer_is_read_as_it_was_written),
	        UNIT_TEST(an_offer_that_was_cut_short_is_none),
	        UNIT_TEST(malformed_terms_are_refused),
	        UNIT_TEST(another_version_is_recognized_whatever_follows),
	        UNIT_TEST(a_refusal_has_its_reason),
	        UNIT_TEST(a_cluster_id_is_any_number_but_zero),
	        UNIT_TEST(spins_while_news_come_soon),
	        UNIT_TEST(sleeps_when_news_take_long),
	        UNIT_TEST(tries_ever_less_where_it_is_not_known),
	        UNIT_TEST(spins_again_when_news_come_sooner),
	        UNIT_TEST(a_few_long_waits_do_not_end_it),
	        UNIT_TEST(never_spins_in_a_crowd),
	        UNIT_TEST(never_spins_with_a_limit_of_zero),
	        UNIT_TEST(a_crowd_is_more_than_there_are_cores_for_a_while),
	        {NULL, NULL},
	};

	return unit_run("wal_terms", tests);
}
