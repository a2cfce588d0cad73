/* SPDX-License-Identifier: Apache-2.0 */
/* tables.c - see tables.h. Money is in cents, dates are days since 1992-01-01. */
#include "bench/tpch/tables.h"

#include "bench/tpch/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* Streams of random numbers: 0 is the text pool's. */
enum { SUPPLIER = 1, PART, PARTSUPP, CUSTOMER, ORDERS, NATION, REGION };

#define DAYS_TO_1998_08_02 2405 /* last order: ENDDATE - 151 days */
#define DAYS_TO_1995_06_17 1263 /* CURRENTDATE */
#define LINES_MAX          7

static int64_t scaled(const struct tpch *tpch, int64_t count)
{
	int64_t rows = (int64_t)((double)count * tpch->scale);

	return rows > 0 ? rows : 1;
}

static int64_t supplier_count(const struct tpch *tpch)
{
	/* At least one for each of a part's four suppliers. */
	int64_t count = scaled(tpch, 10000);

	return count < 4 ? 4 : count;
}

static int64_t part_count(const struct tpch *tpch)
{
	return scaled(tpch, 200000);
}

static int64_t customer_count(const struct tpch *tpch)
{
	/* One without orders and two with are the least. */
	int64_t count = scaled(tpch, 150000);

	return count < 3 ? 3 : count;
}

static int64_t order_count(const struct tpch *tpch)
{
	return scaled(tpch, 1500000);
}

/* ---- fields ---- */

static void put_money(FILE *out, int64_t cents)
{
	fprintf(out, "%s%" PRId64 ".%02d|", cents < 0 ? "-" : "",
	        cents < 0 ? -cents / 100 : cents / 100,
	        (int)(cents < 0 ? -cents % 100 : cents % 100));
}

static void put_date(FILE *out, int64_t day)
{
	time_t seconds = (time_t)((8035 + day) * 86400); /* 1992-01-01 is day 8035 of 1970 */
	struct tm date;

	gmtime_r(&seconds, &date);
	fprintf(out, "%04d-%02d-%02d|", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday);
}

static void put_comment(FILE *out, struct tpch_random *random, int low, int high)
{
	const char *text;
	size_t length = text_pick(random, low, high, &text);

	fwrite(text, 1, length, out);
	fputc('|', out);
}

/* Address, nation, phone and balance are alike for suppliers and customers. */
static int64_t put_address_nation_phone(FILE *out, struct tpch_random *random)
{
	char address[41];
	int64_t nation = random_between(random, 0, 24);

	text_random_characters(random, 10, 40, address);
	fprintf(out, "%s|%" PRId64 "|%d-%d-%d-%d|", address, nation, (int)nation + 10,
	        (int)random_between(random, 100, 999), (int)random_between(random, 100, 999),
	        (int)random_between(random, 1000, 9999));
	put_money(out, random_between(random, -99999, 999999));
	return nation;
}

/* ---- tables ---- */

/* Of 10,000 suppliers 5 have a comment with "Customer...Complaints" and 5 one with
 * "Customer...Recommends". */
static void put_supplier_comment(FILE *out, struct tpch_random *random, int64_t row)
{
	const char *text, *word = row % 2000 == 1 ? "Complaints" : "Recommends";
	int length = (int)text_pick(random, 25, 100, &text), at, gap, left;

	if (row % 1000 != 1) {
		fprintf(out, "%.*s|", length, text);
		return;
	}
	left = length - 18;
	at = (int)random_between(random, 0, left);
	gap = (int)random_between(random, 0, left - at);
	fprintf(out, "%.*sCustomer%.*s%s%.*s|", at, text, gap, text + at, word, left - at - gap,
	        text + at + gap);
}

static void supplier_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	struct tpch_random random;

	random_start(&random, tpch->seed, SUPPLIER, (uint64_t)row);
	fprintf(out, "%" PRId64 "|Supplier#%09" PRId64 "|", row, row);
	put_address_nation_phone(out, &random);
	put_supplier_comment(out, &random, row);
	fputc('\n', out);
}

static int64_t retail_price(int64_t part)
{
	return 90000 + (part / 10) % 20001 + 100 * (part % 1000);
}

static void put_part_name(FILE *out, struct tpch_random *random)
{
	size_t chosen[5];

	for (size_t i = 0; i < 5; i++) {
		bool again;

		do {
			chosen[i] =
			        (size_t)random_between(random, 0, (int64_t)words_color.count - 1);
			again = false;
			for (size_t j = 0; j < i; j++)
				again |= chosen[j] == chosen[i];
		} while (again);
		fprintf(out, "%s%c", words_color.words[chosen[i]], i < 4 ? ' ' : '|');
	}
}

static void part_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	struct tpch_random random;
	int manufacturer;

	random_start(&random, tpch->seed, PART, (uint64_t)row);
	fprintf(out, "%" PRId64 "|", row);
	put_part_name(out, &random);
	manufacturer = (int)random_between(&random, 1, 5);
	fprintf(out, "Manufacturer#%d|Brand#%d%d|", manufacturer, manufacturer,
	        (int)random_between(&random, 1, 5));
	fprintf(out, "%s ", word_pick(&words_type_1, &random));
	fprintf(out, "%s ", word_pick(&words_type_2, &random));
	fprintf(out, "%s|%d|", word_pick(&words_type_3, &random),
	        (int)random_between(&random, 1, 50));
	fprintf(out, "%s ", word_pick(&words_container_size, &random));
	fprintf(out, "%s|", word_pick(&words_container_kind, &random));
	put_money(out, retail_price(row));
	put_comment(out, &random, 5, 22);
	fputc('\n', out);
}

/* The i-th of a part's four suppliers. */
static int64_t part_supplier(const struct tpch *tpch, int64_t part, int64_t i)
{
	int64_t suppliers = supplier_count(tpch);

	return (part + i * (suppliers / 4 + (part - 1) / suppliers)) % suppliers + 1;
}

/* A row of it is a part: all four are written. */
static void partsupp_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	struct tpch_random random;

	random_start(&random, tpch->seed, PARTSUPP, (uint64_t)row);
	for (int64_t i = 0; i < 4; i++) {
		fprintf(out, "%" PRId64 "|%" PRId64 "|%d|", row, part_supplier(tpch, row, i),
		        (int)random_between(&random, 1, 9999));
		put_money(out, random_between(&random, 100, 100000));
		put_comment(out, &random, 49, 198);
		fputc('\n', out);
	}
}

static void customer_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	struct tpch_random random;

	random_start(&random, tpch->seed, CUSTOMER, (uint64_t)row);
	fprintf(out, "%" PRId64 "|Customer#%09" PRId64 "|", row, row);
	put_address_nation_phone(out, &random);
	fprintf(out, "%s|", word_pick(&words_segment, &random));
	put_comment(out, &random, 29, 116);
	fputc('\n', out);
}

struct line {
	int64_t part, supplier, quantity, price, discount, tax, ship, commit, receipt;
};

struct order {
	int64_t key, customer, date, total_price;
	int line_count, open_count;
	struct line lines[LINES_MAX];
	struct tpch_random random; /* for the fields that follow: words, comments */
};

static void make_line(const struct tpch *tpch, struct tpch_random *random, int64_t order_date,
                      struct line *line)
{
	line->part = random_between(random, 1, part_count(tpch));
	line->supplier = part_supplier(tpch, line->part, random_between(random, 0, 3));
	line->quantity = random_between(random, 1, 50);
	line->price = line->quantity * retail_price(line->part);
	line->discount = random_between(random, 0, 10);
	line->tax = random_between(random, 0, 8);
	line->ship = order_date + random_between(random, 1, 121);
	line->commit = order_date + random_between(random, 30, 90);
	line->receipt = line->ship + random_between(random, 1, 30);
}

static void make_order(const struct tpch *tpch, int64_t row, struct order *order)
{
	struct tpch_random *random = &order->random;
	int64_t customers = customer_count(tpch);

	random_start(random, tpch->seed, ORDERS, (uint64_t)row);
	/* Only the first 8 of each 32 keys are used. */
	order->key = ((row - 1) / 8) * 32 + (row - 1) % 8 + 1;
	do /* a third of the customers have no orders */
		order->customer = random_between(random, 1, customers);
	while (order->customer % 3 == 0);
	order->date = random_between(random, 0, DAYS_TO_1998_08_02);
	order->line_count = (int)random_between(random, 1, LINES_MAX);
	order->open_count = 0;
	order->total_price = 0;
	for (int i = 0; i < order->line_count; i++) {
		struct line *line = &order->lines[i];

		make_line(tpch, random, order->date, line);
		order->open_count += line->ship > DAYS_TO_1995_06_17;
		order->total_price +=
		        line->price * (100 - line->discount) / 100 * (100 + line->tax) / 100;
	}
}

static void orders_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	struct order order;
	char status;

	make_order(tpch, row, &order);
	status = order.open_count == 0 ? 'F' : order.open_count == order.line_count ? 'O' : 'P';
	fprintf(out, "%" PRId64 "|%" PRId64 "|%c|", order.key, order.customer, status);
	put_money(out, order.total_price);
	put_date(out, order.date);
	fprintf(out, "%s|Clerk#%09" PRId64 "|0|", word_pick(&words_priority, &order.random),
	        random_between(&order.random, 1, scaled(tpch, 1000)));
	put_comment(out, &order.random, 19, 78);
	fputc('\n', out);
}

static void put_line(FILE *out, struct tpch_random *random, const struct order *order, int i)
{
	const struct line *line = &order->lines[i];
	char flag = 'N';

	fprintf(out, "%" PRId64 "|%" PRId64 "|%" PRId64 "|%d|%" PRId64 "|", order->key, line->part,
	        line->supplier, i + 1, line->quantity);
	put_money(out, line->price);
	fprintf(out, "0.%02d|0.%02d|", (int)line->discount, (int)line->tax);
	if (line->receipt <= DAYS_TO_1995_06_17)
		flag = random_between(random, 0, 1) ? 'R' : 'A';
	fprintf(out, "%c|%c|", flag, line->ship > DAYS_TO_1995_06_17 ? 'O' : 'F');
	put_date(out, line->ship);
	put_date(out, line->commit);
	put_date(out, line->receipt);
	fprintf(out, "%s|", word_pick(&words_instruct, random));
	fprintf(out, "%s|", word_pick(&words_mode, random));
	put_comment(out, random, 10, 43);
	fputc('\n', out);
}

static void lineitem_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	struct order order;
	struct tpch_random random;

	make_order(tpch, row, &order);
	/* The order's own words come from its generator: these from another state. */
	random.state = ~order.random.state;
	for (int i = 0; i < order.line_count; i++)
		put_line(out, &random, &order, i);
}

static int64_t nation_count(const struct tpch *tpch)
{
	return 25;
}

static void nation_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	static const struct {
		const char *name;
		int region;
	} nations[] = {
	        {"ALGERIA", 0},       {"ARGENTINA", 1}, {"BRAZIL", 1}, {"CANADA", 1},
	        {"EGYPT", 4},         {"ETHIOPIA", 0},  {"FRANCE", 3}, {"GERMANY", 3},
	        {"INDIA", 2},         {"INDONESIA", 2}, {"IRAN", 4},   {"IRAQ", 4},
	        {"JAPAN", 2},         {"JORDAN", 4},    {"KENYA", 0},  {"MOROCCO", 0},
	        {"MOZAMBIQUE", 0},    {"PERU", 1},      {"CHINA", 2},  {"ROMANIA", 3},
	        {"SAUDI ARABIA", 4},  {"VIETNAM", 2},   {"RUSSIA", 3}, {"UNITED KINGDOM", 3},
	        {"UNITED STATES", 1},
	};
	struct tpch_random random;

	random_start(&random, tpch->seed, NATION, (uint64_t)row);
	fprintf(out, "%d|%s|%d|", (int)row - 1, nations[row - 1].name, nations[row - 1].region);
	put_comment(out, &random, 31, 114);
	fputc('\n', out);
}

static int64_t region_count(const struct tpch *tpch)
{
	return 5;
}

static void region_row(const struct tpch *tpch, int64_t row, FILE *out)
{
	static const char *const regions[] = {"AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"};
	struct tpch_random random;

	random_start(&random, tpch->seed, REGION, (uint64_t)row);
	fprintf(out, "%d|%s|", (int)row - 1, regions[row - 1]);
	put_comment(out, &random, 31, 115);
	fputc('\n', out);
}

const struct tpch_table tpch_tables[TPCH_TABLE_COUNT] = {
        {"region", region_count, region_row},       {"nation", nation_count, nation_row},
        {"supplier", supplier_count, supplier_row}, {"part", part_count, part_row},
        {"partsupp", part_count, partsupp_row},     {"customer", customer_count, customer_row},
        {"orders", order_count, orders_row},        {"lineitem", order_count, lineitem_row},
};
