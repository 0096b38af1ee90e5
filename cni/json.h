/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much JSON (RFC 8259) as a messenger needs: top-level members of an object, and strings in both directions. It does
 * not judge a document; the agent does. Every function stops at `end` and none recurses, so hostile input costs time
 * proportional to its length and nothing else.
 */
#ifndef HEDDLE_CNI_JSON_H
#define HEDDLE_CNI_JSON_H

#include <stdlib.h>
#include <string.h>

static const char *json_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

static int json_hex4(const char *at, const char *end, unsigned int *out)
{
	unsigned int value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = at[i];

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= (unsigned int)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value |= (unsigned int)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value |= (unsigned int)(c - 'A' + 10);
		else
			return -1;
	}
	*out = value;
	return 0;
}

static char *json_utf8(char *to, unsigned int c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | (c >> 6));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | (c >> 12));
		*to++ = (char)(0x80 | ((c >> 6) & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | (c >> 18));
		*to++ = (char)(0x80 | ((c >> 12) & 0x3f));
		*to++ = (char)(0x80 | ((c >> 6) & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/*
 * Reads the string whose opening quote is at `at`. Returns the place behind the closing quote, or NULL if it is no
 * string. `*text` (allocated, NUL-terminated) holds the decoded bytes and `*length` their number. Decoding never makes
 * a string longer: six bytes of \uXXXX become at most three.
 */
static const char *json_string(const char *at, const char *end, char **text, size_t *length)
{
	char *start, *to;

	if (at >= end || *at != '"')
		return NULL;
	at++;
	start = to = malloc((size_t)(end - at) + 1);
	if (!start)
		return NULL;
	while (at < end && *at != '"') {
		unsigned int c, low;

		if (*at != '\\') {
			*to++ = *at++;
			continue;
		}
		if (++at >= end)
			break;
		switch (*at++) {
		case '"': *to++ = '"'; break;
		case '\\': *to++ = '\\'; break;
		case '/': *to++ = '/'; break;
		case 'b': *to++ = '\b'; break;
		case 'f': *to++ = '\f'; break;
		case 'n': *to++ = '\n'; break;
		case 'r': *to++ = '\r'; break;
		case 't': *to++ = '\t'; break;
		case 'u':
			if (json_hex4(at, end, &c))
				goto bad;
			at += 4;
			if (c >= 0xd800 && c < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
			    !json_hex4(at + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				at += 6;
			} else if (c >= 0xd800 && c < 0xe000) {
				c = 0xfffd; /* half of a pair alone has no UTF-8 form */
			}
			to = json_utf8(to, c);
			break;
		default:
			goto bad;
		}
	}
	if (at >= end)
		goto bad;
	*to = 0;
	*text = start;
	*length = (size_t)(to - start);
	return at + 1;
bad:
	free(start);
	return NULL;
}

/* Steps over one value of any kind; NULL if the input ends inside it. */
static const char *json_skip(const char *at, const char *end)
{
	size_t depth = 0;

	at = json_space(at, end);
	while (at < end) {
		char c = *at;

		if (c == '"') {
			for (at++; at < end && *at != '"'; at++)
				if (*at == '\\')
					at++;
			if (at >= end)
				return NULL;
			at++;
			if (!depth)
				return at;
		} else if (c == '{' || c == '[') {
			depth++;
			at++;
		} else if (c == '}' || c == ']') {
			if (!depth)
				return at;
			at++;
			if (!--depth)
				return at;
		} else if (!depth && (c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
			return at;
		} else {
			at++;
		}
	}
	return depth ? NULL : at;
}

/*
 * Start of the value of the top-level member `name`, or NULL. `*whole` tells whether the text was an object to its end
 * (as far as this scanner looks).
 */
static const char *json_member(const char *at, const char *end, const char *name, int *whole)
{
	const char *found = NULL;

	*whole = 0;
	at = json_space(at, end);
	if (at >= end || *at != '{')
		return NULL;
	at = json_space(at + 1, end);
	if (at < end && *at == '}') {
		*whole = 1;
		return NULL;
	}
	while (at < end) {
		char *key;
		size_t length;

		at = json_string(at, end, &key, &length);
		if (!at)
			return found;
		at = json_space(at, end);
		if (at >= end || *at != ':') {
			free(key);
			return found;
		}
		at = json_space(at + 1, end);
		if (length == strlen(name) && !memcmp(key, name, length))
			found = at;
		free(key);
		at = json_skip(at, end);
		if (!at)
			return found;
		at = json_space(at, end);
		if (at < end && *at == ',') {
			at = json_space(at + 1, end);
			continue;
		}
		*whole = at < end && *at == '}';
		return found;
	}
	return found;
}

/* A buffer that grows; after an allocation failed `failed` is set and everything else is ignored. */
struct text {
	char *bytes;
	size_t length, room;
	int failed;
};

static void text_add(struct text *text, const char *bytes, size_t length)
{
	if (text->failed)
		return;
	if (text->room - text->length < length) {
		size_t room = (text->length + length) * 2 + 256;
		char *grown = realloc(text->bytes, room);

		if (!grown) {
			text->failed = 1;
			return;
		}
		text->bytes = grown;
		text->room = room;
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
}

static void text_put(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

/* Adds `bytes` as a JSON string with its quotes. Bytes above 0x7f go through as they are. */
static void text_quote(struct text *text, const char *bytes, size_t length)
{
	static const char hex[] = "0123456789abcdef";
	size_t from = 0;

	text_add(text, "\"", 1);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];
		char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		text_add(text, bytes + from, i - from);
		from = i + 1;
		if (c < 0x20) {
			text_add(text, escape, 6);
		} else {
			escape[1] = (char)c;
			text_add(text, escape, 2);
		}
	}
	text_add(text, bytes + from, length - from);
	text_add(text, "\"", 1);
}

#endif
