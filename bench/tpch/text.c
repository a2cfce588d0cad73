/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - see text.h. */
#include "bench/tpch/text.h"

#include <stdlib.h>
#include <string.h>

#define POOL_BYTES (16 << 20)
#define LIST(name, ...)                                                                            \
	static const char *const name##_words[] = {__VA_ARGS__};                                   \
	const struct word_list words_##name = {name##_words, sizeof(name##_words) / sizeof(char *)}
#define OWN_LIST(name, ...)                                                                        \
	static const char *const name##_words[] = {__VA_ARGS__};                                   \
	static const struct word_list words_##name = {name##_words,                                \
	                                              sizeof(name##_words) / sizeof(char *)}

LIST(color, "almond", "antique", "aquamarine", "azure", "beige", "bisque", "black", "blanched",
     "blue", "blush", "brown", "burlywood", "burnished", "chartreuse", "chiffon", "chocolate",
     "coral", "cornflower", "cornsilk", "cream", "cyan", "dark", "deep", "dim", "dodger", "drab",
     "firebrick", "floral", "forest", "frosted", "gainsboro", "ghost", "goldenrod", "green", "grey",
     "honeydew", "hot", "indian", "ivory", "khaki", "lace", "lavender", "lawn", "lemon", "light",
     "lime", "linen", "magenta", "maroon", "medium", "metallic", "midnight", "mint", "misty",
     "moccasin", "navajo", "navy", "olive", "orange", "orchid", "pale", "papaya", "peach", "peru",
     "pink", "plum", "powder", "puff", "purple", "red", "rose", "rosy", "royal", "saddle", "salmon",
     "sandy", "seashell", "sienna", "sky", "slate", "smoke", "snow", "spring", "steel", "tan",
     "thistle", "tomato", "turquoise", "violet", "wheat", "white", "yellow");
LIST(segment, "AUTOMOBILE", "BUILDING", "FURNITURE", "MACHINERY", "HOUSEHOLD");
LIST(priority, "1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW");
LIST(instruct, "DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN");
LIST(mode, "REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB");
LIST(container_size, "SM", "LG", "MED", "JUMBO", "WRAP");
LIST(container_kind, "CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM");
LIST(type_1, "STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO");
LIST(type_2, "ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED");
LIST(type_3, "TIN", "NICKEL", "BRASS", "STEEL", "COPPER");

OWN_LIST(noun, "foxes", "ideas", "theodolites", "pinto beans", "instructions", "dependencies",
         "excuses", "platelets", "asymptotes", "courts", "dolphins", "multipliers", "sauternes",
         "warthogs", "frets", "dinos", "attainments", "somas", "Tiresias'", "patterns", "forges",
         "braids", "hockey players", "frays", "warhorses", "dugouts", "notornis", "epitaphs",
         "pearls", "tithes", "waters", "orbits", "gifts", "sheaves", "depths", "sentiments",
         "decoys", "realms", "pains", "grouches", "escapades", "packages", "requests", "accounts",
         "deposits");
OWN_LIST(verb, "sleep", "wake", "are", "cajole", "haggle", "nag", "use", "boost", "affix", "detect",
         "integrate", "maintain", "nod", "was", "lose", "sublate", "solve", "thrash", "promise",
         "engage", "hinder", "print", "x-ray", "breach", "eat", "grow", "impress", "mold", "poach",
         "serve", "run", "dazzle", "snooze", "doze", "unwind", "kindle", "play", "hang", "believe",
         "doubt");
OWN_LIST(adjective, "furious", "sly", "careful", "blithe", "quick", "fluffy", "slow", "quiet",
         "ruthless", "thin", "close", "dogged", "daring", "brave", "stealthy", "permanent",
         "enticing", "idle", "busy", "regular", "final", "ironic", "even", "bold", "silent",
         "special", "pending", "unusual", "express");
OWN_LIST(adverb, "sometimes", "always", "never", "furiously", "slyly", "carefully", "blithely",
         "quickly", "fluffily", "slowly", "quietly", "ruthlessly", "thinly", "closely", "doggedly",
         "daringly", "bravely", "stealthily", "permanently", "enticingly", "idly", "busily",
         "regularly", "finally", "ironically", "evenly", "boldly", "silently");
OWN_LIST(preposition, "about", "above", "according to", "across", "after", "against", "along",
         "alongside of", "among", "around", "at", "atop", "before", "behind", "beneath", "beside",
         "besides", "between", "beyond", "by", "despite", "during", "except", "for", "from",
         "in place of", "inside", "instead of", "into", "near", "of", "on", "outside", "over",
         "past", "since", "through", "throughout", "to", "toward", "under", "until", "up", "upon",
         "without", "with", "within");
OWN_LIST(auxiliary, "do", "may", "might", "shall", "will", "would", "can", "could", "should",
         "ought to", "must", "will have to", "shall have to", "could have to", "should have to",
         "must have to", "need to", "try to");
OWN_LIST(terminator, ".", ";", ":", "?", "!", "--");

/* Left out of the grammar's symbols: what stands between words. */
static const char *const noun_phrases[] = {"N", "J N", "J, J N", "D J N"};
static const char *const verb_phrases[] = {"V", "X V", "V D", "X V D"};
/* n: noun phrase, v: verb phrase, p: prepositional phrase. */
static const char *const sentences[] = {"n v", "n v p", "n v n", "n p v n", "n p v p"};

static char *pool;
static size_t pool_length;

static void put(const char *text)
{
	size_t length = strlen(text);

	if (pool_length + length > POOL_BYTES)
		length = POOL_BYTES - pool_length;
	memcpy(pool + pool_length, text, length);
	pool_length += length;
}

static void put_phrase(struct tpch_random *random, const char *phrase)
{
	for (; *phrase; phrase++) {
		switch (*phrase) {
		case 'N':
			put(word_pick(&words_noun, random));
			break;
		case 'V':
			put(word_pick(&words_verb, random));
			break;
		case 'J':
			put(word_pick(&words_adjective, random));
			break;
		case 'D':
			put(word_pick(&words_adverb, random));
			break;
		case 'X':
			put(word_pick(&words_auxiliary, random));
			break;
		case 'n':
			put_phrase(random, noun_phrases[random_between(random, 0, 3)]);
			break;
		case 'v':
			put_phrase(random, verb_phrases[random_between(random, 0, 3)]);
			break;
		case 'p':
			put(word_pick(&words_preposition, random));
			put(" the ");
			put_phrase(random, "n");
			break;
		default:
			put((const char[]){*phrase, '\0'});
		}
	}
}

int text_pool_make(uint64_t seed)
{
	struct tpch_random random;

	pool = malloc(POOL_BYTES);
	if (!pool)
		return -1;
	random_start(&random, seed, 0, 0);
	while (pool_length < POOL_BYTES) {
		put_phrase(&random, sentences[random_between(&random, 0, 4)]);
		put(word_pick(&words_terminator, &random));
		put(" ");
	}
	return 0;
}

size_t text_pick(struct tpch_random *random, int low, int high, const char **ret_text)
{
	size_t length = (size_t)random_between(random, low, high);

	*ret_text = pool + random_between(random, 0, (int64_t)(pool_length - length));
	return length;
}

void text_random_characters(struct tpch_random *random, int low, int high, char *out)
{
	static const char characters[] =
	        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ, ";
	int length = (int)random_between(random, low, high);

	for (int i = 0; i < length; i++)
		out[i] = characters[random_next(random) >> 58];
	out[length] = '\0';
}
