// SPDX-License-Identifier: Apache-2.0
/*
 * heddle-cni: the CNI plugin that a container runtime executes (CNI spec 1.1.0, 1.0.0, 0.4.0). It decides nothing: it
 * hands environment and standard input to the node's agent and prints the agent's answer. Static and small, because a
 * runtime starts it twice for every pod.
 *
 * Wire: one frame each way, a big-endian u32 length and that many bytes of JSON:
 *   → {"env": {"CNI_COMMAND": "ADD", …}, "config": "<standard input>"}
 *   ← {"exit": 0, "stdout": "<what to print>"}
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "json.h"

#define CONFIG_MAX (1024 * 1024)
#define ANSWER_MAX (4 * 1024 * 1024)
#define PATIENCE_MS 30000
#define DEFAULT_SOCKET "/run/heddle/cni.sock"
#define LATEST "1.1.0"

extern char **environ;

/* Error codes of the CNI spec, section "Error". */
enum { E_ENVIRONMENT = 4, E_IO = 5, E_DECODE = 6, E_CONFIG = 7, E_AGAIN = 11, E_UNAVAILABLE = 50 };

static char *version; /* the configuration's cniVersion; NULL while unknown */
static int64_t deadline;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void print(const char *bytes, size_t length)
{
	while (length) {
		ssize_t n = write(STDOUT_FILENO, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		bytes += n;
		length -= (size_t)n;
	}
}

/* Prints an error in the form of the spec and ends with exit code 1. */
static _Noreturn void fail(int code, const char *message, const char *details)
{
	struct text out = { 0 };
	char number[16];

	snprintf(number, sizeof(number), "%d", code);
	text_put(&out, "{\"cniVersion\":");
	text_quote(&out, version ? version : LATEST, strlen(version ? version : LATEST));
	text_put(&out, ",\"code\":");
	text_put(&out, number);
	text_put(&out, ",\"msg\":");
	text_quote(&out, message, strlen(message));
	text_put(&out, ",\"details\":");
	text_quote(&out, details, strlen(details));
	text_put(&out, "}\n");
	if (!out.failed)
		print(out.bytes, out.length);
	_exit(1);
}

/* Waits until `fd` is ready for `events` or the patience is over (0). */
static int ready(int fd, short events)
{
	for (;;) {
		int64_t left = deadline - now_ms();
		struct pollfd p = { .fd = fd, .events = events };
		int n;

		if (left <= 0)
			return 0;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return 1;
		if (n < 0 && errno != EINTR)
			return 0;
	}
}

static void read_config(struct text *config)
{
	char chunk[16384];

	for (;;) {
		ssize_t n;

		if (!ready(STDIN_FILENO, POLLIN))
			fail(E_IO, "Cannot read the network configuration: standard input did not end",
			     "The runtime must write the configuration and close standard input; it did not within 30 s");
		n = read(STDIN_FILENO, chunk, sizeof(chunk));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			fail(E_IO, "Cannot read the network configuration from standard input", strerror(errno));
		if (n == 0)
			return;
		text_add(config, chunk, (size_t)n);
		if (config->failed)
			fail(E_IO, "Cannot read the network configuration: out of memory", "");
		if (config->length > CONFIG_MAX)
			fail(E_CONFIG, "Cannot use the network configuration: it is longer than 1 MiB",
			     "Look for what the runtime adds to it (prevResult, args)");
	}
}

/* The top-level member `name` if it is a string; else NULL. */
static char *string_member(const struct text *config, const char *name)
{
	const char *end = config->bytes + config->length;
	char *value;
	size_t length;
	int whole;
	const char *at = json_member(config->bytes, end, name, &whole);

	if (!at || !json_string(at, end, &value, &length))
		return NULL;
	if (strlen(value) != length) { /* a NUL inside is no path and no version */
		free(value);
		return NULL;
	}
	return value;
}

static void compose(struct text *frame, const struct text *config)
{
	int first = 1;

	text_add(frame, "\0\0\0\0", 4);
	text_put(frame, "{\"env\":{");
	for (char **e = environ; *e; e++) {
		const char *equals = strchr(*e, '=');

		if (strncmp(*e, "CNI_", 4) || !equals)
			continue;
		if (!first)
			text_put(frame, ",");
		first = 0;
		text_quote(frame, *e, (size_t)(equals - *e));
		text_put(frame, ":");
		text_quote(frame, equals + 1, strlen(equals + 1));
	}
	text_put(frame, "},\"config\":");
	text_quote(frame, config->bytes ? config->bytes : "", config->length);
	text_put(frame, "}");
	if (frame->failed)
		fail(E_IO, "Cannot ask the agent: out of memory", "");
	for (int i = 0; i < 4; i++)
		frame->bytes[i] = (char)((frame->length - 4) >> (24 - 8 * i));
}

static _Noreturn void no_agent(const char *path, const char *why)
{
	const char *command = getenv("CNI_COMMAND");
	struct text details = { 0 };

	text_put(&details, path);
	text_put(&details, ": ");
	text_put(&details, why);
	text_put(&details, ". Start the agent (heddle agent), or name its socket as \"socket\" in the network configuration");
	text_add(&details, "", 1);
	fail(command && !strcmp(command, "STATUS") ? E_UNAVAILABLE : E_AGAIN,
	     "Cannot reach the Heddle agent of this node", details.failed ? why : details.bytes);
}

static int connect_agent(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		fail(E_CONFIG, "Cannot use the agent's socket: its path is longer than 107 bytes", path);
	strcpy(address.sun_path, path);
	if (fd < 0)
		no_agent(path, strerror(errno));
	/* A full backlog answers EAGAIN on a unix socket, and no event tells when there is room again. */
	while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };

		if ((errno != EAGAIN && errno != EINTR) || now_ms() >= deadline)
			no_agent(path, strerror(errno));
		nanosleep(&pause, NULL);
	}
	return fd;
}

static void transfer(int fd, const char *path, char *bytes, size_t length, int out)
{
	while (length) {
		ssize_t n;

		if (!ready(fd, out ? POLLOUT : POLLIN))
			no_agent(path, "no answer within 30 s");
		n = out ? send(fd, bytes, length, MSG_NOSIGNAL) : recv(fd, bytes, length, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			no_agent(path, strerror(errno));
		if (n == 0)
			no_agent(path, "the agent closed the connection before it answered");
		bytes += n;
		length -= (size_t)n;
	}
}

/* Prints what the agent said and ends as it wished. */
static _Noreturn void deliver(const char *path, const char *answer, size_t length)
{
	const char *end = answer + length;
	int whole, whole2;
	const char *exit_at = json_member(answer, end, "exit", &whole);
	const char *out_at = json_member(answer, end, "stdout", &whole2);
	char *out;
	size_t out_length;

	if (!exit_at || !out_at || !whole || !json_string(out_at, end, &out, &out_length))
		no_agent(path, "the answer is not one of a Heddle agent");
	print(out, out_length);
	_exit(*exit_at == '0' ? 0 : 1);
}

/* VERSION needs no agent (spec, "VERSION"): the version asked with, and those that agent and shim were built for. */
static _Noreturn void tell_version(void)
{
	struct text out = { 0 };

	text_put(&out, "{\"cniVersion\":");
	text_quote(&out, version ? version : LATEST, strlen(version ? version : LATEST));
	text_put(&out, ",\"supportedVersions\":[\"0.4.0\",\"1.0.0\",\"" LATEST "\"]}\n");
	if (!out.failed)
		print(out.bytes, out.length);
	_exit(0);
}

int main(void)
{
	const char *command = getenv("CNI_COMMAND");
	const char *path = getenv("HEDDLE_CNI_SOCKET");
	struct text config = { 0 }, frame = { 0 };
	unsigned char header[4];
	uint32_t length;
	char *answer;
	int fd, whole;

	signal(SIGPIPE, SIG_IGN);
	deadline = now_ms() + PATIENCE_MS;
	if (!command || !*command)
		fail(E_ENVIRONMENT, "Cannot act: the environment variable CNI_COMMAND is not set",
		     "heddle-cni is executed by a container runtime; people use the command heddle");
	read_config(&config);
	version = config.length ? string_member(&config, "cniVersion") : NULL;
	if (!strcmp(command, "VERSION"))
		tell_version();
	if (!config.length)
		fail(E_DECODE, "Cannot read the network configuration: standard input is empty", "");
	json_member(config.bytes, config.bytes + config.length, "", &whole);
	if (!whole)
		fail(E_DECODE, "Cannot read the network configuration: it is not a JSON object", "");
	if (!path || !*path)
		path = string_member(&config, "socket");
	if (!path || !*path)
		path = DEFAULT_SOCKET;

	compose(&frame, &config);
	fd = connect_agent(path);
	transfer(fd, path, frame.bytes, frame.length, 1);
	transfer(fd, path, (char *)header, sizeof(header), 0);
	length = (uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];
	if (length > ANSWER_MAX)
		no_agent(path, "the answer is longer than 4 MiB");
	answer = malloc((size_t)length + 1);
	if (!answer)
		fail(E_IO, "Cannot take the agent's answer: out of memory", "");
	transfer(fd, path, answer, length, 0);
	deliver(path, answer, length);
}
