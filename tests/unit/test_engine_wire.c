/* SPDX-License-Identifier: Apache-2.0 */
/* test_engine_wire.c - messages between engines come back as they went out, and
 * whatever else comes is refused in words. */
#include "tests/unit/unit.h"
#include "transport/engine/engine_wire.h"

#include <string.h>

static const struct slu_key key = {
        .cluster = 0x1122334455667788, .query = 9, .motion = 3, .source = 4, .destination = 5};

static struct wire_open open_sample(void)
{
	return (struct wire_open){
	        .direction = SLU_RECV,
	        .flags = WIRE_OPEN_URGENT,
	        .lane = LANE(7, 100),
	        .peer_lane = LANE(LANE_EPOCH_MAX, 5),
	        .rendezvous_ms = 30000,
	        .token = {1, 2, 3},
	        .limit_pos = UINT64_C(1) << 40,
	};
}

static struct wire_end end_sample(void)
{
	return (struct wire_end){
	        .direction = SLU_SEND, .lane = LANE(1, 2), .peer_lane = LANE(3, 4), .error = 104};
}

static void an_open_comes_back_as_it_went_out(void)
{
	struct wire_open open = open_sample();
	uint8_t message[WIRE_CONTROL_MAX];
	struct wire_control control;
	size_t size = wire_open_encode(message, &open, &key);

	CU_ASSERT_EQUAL(size, 72);
	CU_ASSERT_PTR_NULL(wire_control_decode(message, size, &control));
	CU_ASSERT_EQUAL(control.type, WIRE_OPEN);
	CU_ASSERT_EQUAL(control.open.direction, SLU_RECV);
	CU_ASSERT_EQUAL(control.open.flags, WIRE_OPEN_URGENT);
	CU_ASSERT_EQUAL(control.open.lane, open.lane);
	CU_ASSERT_EQUAL(control.open.peer_lane, open.peer_lane);
	CU_ASSERT_EQUAL(control.open.rendezvous_ms, 30000);
	CU_ASSERT_EQUAL(control.open.limit_pos, open.limit_pos);
	CU_ASSERT_EQUAL(memcmp(control.open.token, open.token, 16), 0);
	CU_ASSERT_EQUAL(memcmp(&control.key, &key, sizeof(key)), 0);
}

static void bytes_on_the_wire_are_little_endian_where_the_format_says(void)
{
	struct wire_open open = open_sample();
	uint8_t message[WIRE_CONTROL_MAX];
	static const uint8_t lane[] = {0x64, 0x00, 0x70, 0x00};
	static const uint8_t cluster[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};

	wire_open_encode(message, &open, &key);
	CU_ASSERT_EQUAL(message[0], 1);
	CU_ASSERT_EQUAL(memcmp(message + 4, lane, sizeof(lane)), 0);
	CU_ASSERT_EQUAL(memcmp(message + 16, cluster, sizeof(cluster)), 0);
	CU_ASSERT_EQUAL(message[48], 1);
	CU_ASSERT_EQUAL(message[64 + 5], 1);
}

/* Set one byte of a good message and see it refused. */
static void refused(const uint8_t *good, size_t size, size_t at, uint8_t value)
{
	uint8_t message[WIRE_CONTROL_MAX];
	struct wire_control control;

	memcpy(message, good, size);
	message[at] = value;
	if (!wire_control_decode(message, size, &control)) {
		CU_FAIL("a bad message was accepted");
		printf("byte %zu = %u\n", at, value);
	}
}

static void an_open_that_cannot_be_is_refused(void)
{
	struct wire_open open = open_sample();
	uint8_t good[WIRE_CONTROL_MAX];
	struct wire_control control;
	size_t size = wire_open_encode(good, &open, &key);

	for (size_t cut = 0; cut < size; cut++)
		CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, cut, &control));
	CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, size + 1, &control));
	refused(good, size, 0, 0);
	refused(good, size, 0, 6);
	refused(good, size, 1, 0);
	refused(good, size, 1, 3);
	refused(good, size, 2, 2);
	refused(good, size, 3, 1);
	refused(good, size, 15, 0xff); /* rendezvous_ms */
	refused(good, size, 44, 1);    /* key.reserved */
	open.lane = 100;
	size = wire_open_encode(good, &open, &key);
	CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, size, &control));
	open = open_sample();
	open.peer_lane = 100;
	size = wire_open_encode(good, &open, &key);
	CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, size, &control));
}

static void an_end_comes_back_with_its_text_made_printable(void)
{
	struct wire_end end = end_sample();
	uint8_t message[WIRE_CONTROL_MAX];
	struct wire_control control;
	size_t size = wire_end_encode(message, &end, &key, "died\n\033[31m");

	CU_ASSERT_PTR_NULL(wire_control_decode(message, size, &control));
	CU_ASSERT_EQUAL(control.end.error, 104);
	CU_ASSERT_EQUAL(control.end.lane, end.lane);
	CU_ASSERT_EQUAL(control.end.peer_lane, end.peer_lane);
	CU_ASSERT_STRING_EQUAL(control.text, "died??[31m");
}

static void a_text_too_long_is_cut_when_it_is_sent(void)
{
	struct wire_end end = end_sample();
	uint8_t message[WIRE_CONTROL_MAX];
	struct wire_control control;
	char text[1000];
	size_t size;

	memset(text, 'x', sizeof(text));
	text[999] = '\0';
	size = wire_end_encode(message, &end, &key, text);
	CU_ASSERT_EQUAL(size, WIRE_CONTROL_MAX);
	CU_ASSERT_PTR_NULL(wire_control_decode(message, size, &control));
	CU_ASSERT_EQUAL(strlen(control.text), WIRE_TEXT_MAX);
}

static void an_end_that_cannot_be_is_refused(void)
{
	struct wire_end end = end_sample();
	uint8_t good[WIRE_CONTROL_MAX];
	struct wire_control control;
	size_t size = wire_end_encode(good, &end, &key, "why");

	for (size_t cut = 0; cut < size; cut++)
		CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, cut, &control));
	refused(good, size, 1, WIRE_END_STOPPED); /* in order, and with an error */
	refused(good, size, 2, 9);
	refused(good, size, 3, 2);
	refused(good, size, 3, 255);
	refused(good, size, 14, 1); /* error 65640 */
	refused(good, size, 44, 1);
	end.error = 0;
	size = wire_end_encode(good, &end, &key, "");
	CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, size, &control));
	end.flags = WIRE_END_COMPLETE;
	size = wire_end_encode(good, &end, &key, "");
	CU_ASSERT_PTR_NULL(wire_control_decode(good, size, &control));
	end.lane = LANE_NONE; /* who refuses says why */
	size = wire_end_encode(good, &end, &key, "");
	CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, size, &control));
	end = end_sample();
	end.lane = end.peer_lane = LANE_NONE;
	size = wire_end_encode(good, &end, &key, "");
	CU_ASSERT_PTR_NOT_NULL(wire_control_decode(good, size, &control));
}

static void sessions_are_asked_for_and_granted(void)
{
	struct wire_session_grant grant = {
	        .index = 3, .flags = WIRE_SESSION_CRC32C, .peer = 77, .secret = {9}};
	uint8_t message[WIRE_CONTROL_MAX];
	struct wire_control control;
	size_t size = wire_session_request_encode(message, 3);

	CU_ASSERT_PTR_NULL(wire_control_decode(message, size, &control));
	CU_ASSERT_EQUAL(control.session_request.index, 3);
	CU_ASSERT_PTR_NOT_NULL(wire_control_decode(message, size - 1, &control));
	size = wire_session_grant_encode(message, &grant);
	CU_ASSERT_PTR_NULL(wire_control_decode(message, size, &control));
	CU_ASSERT_EQUAL(control.session_grant.peer, 77);
	CU_ASSERT_EQUAL(memcmp(control.session_grant.secret, grant.secret, 32), 0);
	refused(message, size, 2, 0x80);
	size = wire_end_ack_encode(message, LANE(1, 0));
	CU_ASSERT_PTR_NULL(wire_control_decode(message, size, &control));
	CU_ASSERT_EQUAL(control.end_ack.lane, LANE(1, 0));
	refused(message, size, 6, 0);
}

static void a_hello_of_another_protocol_or_version_is_refused(void)
{
	struct wire_hello hello = {.index = 2, .flags = 1, .peer = 5, .secret = {1}};
	uint8_t message[sizeof(hello)];

	wire_hello_encode(message, &hello);
	CU_ASSERT_PTR_NULL(wire_hello_decode(message, &hello));
	CU_ASSERT_EQUAL(hello.index, 2);
	CU_ASSERT_EQUAL(hello.peer, 5);
	message[4]++;
	CU_ASSERT_PTR_NOT_NULL(strstr(wire_hello_decode(message, &hello), "version"));
	message[0]++;
	CU_ASSERT_PTR_NOT_NULL(strstr(wire_hello_decode(message, &hello), "protocol"));
	wire_hello_encode(message, &hello);
	message[7] = 0x40;
	CU_ASSERT_PTR_NOT_NULL(wire_hello_decode(message, &hello));
}

static void every_bit_of_a_small_message_counts(void)
{
	struct wire_small small = {
	        .lane = LANE(2, 7), .type = WIRE_CREDIT, .flags = WIRE_CREDIT_STOP};
	struct wire_small back;
	uint8_t message[sizeof(small)];

	small.limit_pos = UINT64_MAX;
	small.pos = 5;
	wire_small_encode(message, &small);
	CU_ASSERT_PTR_NULL(wire_small_decode(message, sizeof(message), &back));
	CU_ASSERT_EQUAL(back.lane, small.lane);
	CU_ASSERT_EQUAL(back.flags, WIRE_CREDIT_STOP);
	CU_ASSERT_EQUAL(back.limit_pos, UINT64_MAX);
	CU_ASSERT_EQUAL(back.pos, 5);
	for (size_t bit = 0; bit < 8 * sizeof(message); bit++) {
		message[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CU_ASSERT_PTR_NOT_NULL(wire_small_decode(message, sizeof(message), &back));
		message[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CU_ASSERT_PTR_NOT_NULL(wire_small_decode(message, sizeof(message) - 1, &back));
	small.type = WIRE_EOS;
	wire_small_encode(message, &small);
	CU_ASSERT_PTR_NOT_NULL(wire_small_decode(message, sizeof(message), &back));
	small.flags = 0;
	small.lane = 7;
	wire_small_encode(message, &small);
	CU_ASSERT_PTR_NOT_NULL(wire_small_decode(message, sizeof(message), &back));
}

struct frame {
	struct frame_wire wire;
	uint8_t payload[40];
};

static void every_bit_of_a_checked_frame_counts(void)
{
	struct frame_wire header = {.channel = LANE(1, 9),
	                            .size_bytes = 40,
	                            .pos = 12345,
	                            .tag = 0xbeef,
	                            .flags = WIRE_DATA_CRC32C | WIRE_DATA_MORE};
	struct frame good = {.payload = "a row"}, bad;
	bool corrupt;

	wire_data_encode(&good.wire, &header);
	bad = good;
	CU_ASSERT_PTR_NULL(wire_data_decode(&bad.wire, sizeof(bad), true, &corrupt));
	CU_ASSERT_EQUAL(bad.wire.pos, 12345);
	CU_ASSERT_EQUAL(bad.wire.tag, 0xbeef);
	for (size_t bit = 0; bit < 8 * sizeof(bad); bit++) {
		bad = good;
		((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CU_ASSERT_PTR_NOT_NULL(wire_data_decode(&bad.wire, sizeof(bad), true, &corrupt));
		CU_ASSERT_TRUE(corrupt);
	}
}

static void a_frame_that_cannot_be_is_refused(void)
{
	struct frame_wire header = {.channel = LANE(1, 9), .size_bytes = 40};
	struct frame good = {.payload = "a row"}, bad;
	bool corrupt;

	wire_data_encode(&good.wire, &header);
	bad = good;
	CU_ASSERT_PTR_NULL(wire_data_decode(&bad.wire, sizeof(bad), false, &corrupt));
	bad = good;
	CU_ASSERT_PTR_NOT_NULL(wire_data_decode(&bad.wire, 23, false, &corrupt));
	CU_ASSERT_PTR_NOT_NULL(wire_data_decode(&bad.wire, sizeof(bad) - 1, false, &corrupt));
	bad = good;
	bad.wire.type = WIRE_CREDIT;
	CU_ASSERT_PTR_NOT_NULL(wire_data_decode(&bad.wire, sizeof(bad), false, &corrupt));
	bad = good;
	bad.wire.flags = 8;
	CU_ASSERT_PTR_NOT_NULL(wire_data_decode(&bad.wire, sizeof(bad), false, &corrupt));
	bad = good;
	bad.wire.channel = 9;
	CU_ASSERT_PTR_NOT_NULL(wire_data_decode(&bad.wire, sizeof(bad), false, &corrupt));
	CU_ASSERT_FALSE(corrupt);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(an_open_comes_back_as_it_went_out),
	        UNIT_TEST(bytes_on_the_wire_are_little_endian_where_the_format_says),
	        UNIT_TEST(an_open_that_cannot_be_is_refused),
	        UNIT_TEST(an_end_comes_back_with_its_text_made_printable),
	        UNIT_TEST(a_text_too_long_is_cut_when_it_is_sent),
	        UNIT_TEST(an_end_that_cannot_be_is_refused),
	        UNIT_TEST(sessions_are_asked_for_and_granted),
	        UNIT_TEST(a_hello_of_another_protocol_or_version_is_refused),
	        UNIT_TEST(every_bit_of_a_small_message_counts),
	        UNIT_TEST(every_bit_of_a_checked_frame_counts),
	        UNIT_TEST(a_frame_that_cannot_be_is_refused),
	        {NULL, NULL},
	};

	return unit_run("engine_wire", tests);
}
