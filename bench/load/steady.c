// SPDX-License-Identifier: Apache-2.0
/*
 * Traffic at a known rate between two pods, both ends in one process, to see what is lost while something else happens:
 *
 *   bench-steady CLIENT_NETNS SERVER_NETNS SERVER_ADDRESS PORT DENIED_PORT CPU
 *
 * Each millisecond a datagram that the server sends back, and 16 bytes on one TCP connection, echoed too; each ten milliseconds a new
 * connection with one exchange, and a datagram to a port that policy denies. Prints "ready" when the first ones are answered; at SIGTERM it
 * waits half a second for what is still on its way and prints one JSON object. `ownLateMs` is how late this process itself was at most:
 * a gap no longer than that is the machine's, not the path's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK 1000000u
#define EACH 10
#define MESSAGE 16
#define DRAIN (TICK * 500ull)
#define GIVE_UP (TICK * 3000ull)
#define MAX_OPEN 1024
#define MAX_FDS 8192

enum kind { NOTHING, UDP_SERVER, UDP_CLIENT, LISTENER, ECHO, STREAM, CONNECTION, DENIED };

static struct {
	enum kind kind;
	uint64_t start;
} about[MAX_FDS];

static struct {
	uint64_t sent, back, last, gap;
} udp, tcp;
static struct {
	uint64_t opened, answered, failed, slowest, open;
} connections;
static uint64_t denied_sent, denied_passed, late, resets;
static int poller, udp_client, stream, accepted_stream = -1;
static volatile sig_atomic_t ending;

static void die(const char *what)
{
	fprintf(stderr, "bench-steady: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + time.tv_nsec;
}

static void enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

static void end(int signal)
{
	(void)signal;
	ending = 1;
}

static socklen_t read_address(const char *text, int port, struct sockaddr_storage *to)
{
	struct sockaddr_in *four = (void *)to;
	struct sockaddr_in6 *six = (void *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
		die(text);
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	return sizeof(*six);
}

static void watch(int fd, enum kind kind, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (fd >= MAX_FDS || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
	about[fd].kind = kind;
	about[fd].start = now();
}

static void drop(int fd)
{
	about[fd].kind = NOTHING;
	close(fd);
}

static int make_socket(const struct sockaddr_storage *address, int type)
{
	int fd = socket(address->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int make_server(const struct sockaddr_storage *address, socklen_t length, int type, enum kind kind)
{
	int fd = make_socket(address, type);

	if (bind(fd, (const void *)address, length) || (type == SOCK_STREAM && listen(fd, 512)))
		die("bind");
	watch(fd, kind, EPOLLIN);
	return fd;
}

static void open_connection(const struct sockaddr_storage *to, socklen_t length)
{
	int fd = make_socket(to, SOCK_STREAM);

	connections.opened++;
	if (connect(fd, (const void *)to, length) && errno != EINPROGRESS) {
		connections.failed++;
		close(fd);
		return;
	}
	connections.open++;
	watch(fd, CONNECTION, EPOLLOUT);
}

static void note(uint64_t *last, uint64_t *gap)
{
	uint64_t at = now();

	if (*last && at - *last > *gap)
		*gap = at - *last;
	*last = at;
}

static void follow_connection(int fd, uint32_t events)
{
	struct epoll_event reading = { .events = EPOLLIN, .data.fd = fd };
	uint64_t took = now() - about[fd].start;
	char byte = 1;

	if (events & EPOLLOUT) {
		if (write(fd, &byte, 1) == 1 && !epoll_ctl(poller, EPOLL_CTL_MOD, fd, &reading))
			return;
		connections.failed++;
	} else if (read(fd, &byte, 1) == 1) {
		connections.answered++;
		if (took > connections.slowest)
			connections.slowest = took;
	} else {
		connections.failed++;
	}
	connections.open--;
	drop(fd);
}

static void handle(int fd, uint32_t events)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	char buffer[4096];
	ssize_t got;
	int next;

	switch (about[fd].kind) {
	case UDP_SERVER:
		while ((got = recvfrom(fd, buffer, sizeof(buffer), 0, (void *)&from, &length)) > 0) {
			sendto(fd, buffer, got, 0, (void *)&from, length);
			length = sizeof(from);
		}
		break;
	case UDP_CLIENT:
		while (recv(fd, buffer, sizeof(buffer), 0) > 0) {
			udp.back++;
			note(&udp.last, &udp.gap);
		}
		break;
	case DENIED:
		while (recv(fd, buffer, sizeof(buffer), 0) > 0)
			denied_passed++;
		break;
	case LISTENER:
		while ((next = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			if (accepted_stream < 0)
				accepted_stream = next;
			watch(next, ECHO, EPOLLIN);
		}
		break;
	case ECHO:
		got = read(fd, buffer, sizeof(buffer));
		if (got > 0 && write(fd, buffer, got) == got)
			break;
		if (got < 0 && errno == EAGAIN)
			break;
		drop(fd);
		break;
	case STREAM:
		got = read(fd, buffer, sizeof(buffer));
		if (got > 0) {
			tcp.back += got;
			note(&tcp.last, &tcp.gap);
		} else if (got == 0 || errno != EAGAIN) {
			resets++;
			drop(fd);
		}
		break;
	case CONNECTION:
		follow_connection(fd, events);
		break;
	case NOTHING:
		break;
	}
}

/* Answers what comes until that time; when it is past, what is there: a late process must not fill its own sockets' buffers. */
static void serve_until(uint64_t time)
{
	struct epoll_event events[64];
	uint64_t at;

	do {
		at = now();
		struct timespec wait = { .tv_nsec = time <= at ? 0 : time - at > TICK ? TICK : time - at };
		int found = epoll_pwait2(poller, events, 64, &wait, NULL);

		for (int i = 0; i < found; i++)
			handle(events[i].data.fd, events[i].events);
	} while (at < time);
}

/* What was sent again, and of it what the other end says it had: that was late, not lost. */
static struct {
	uint32_t all, needless;
} again;

static void count_retransmits(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		return;
	again.all += info.tcpi_total_retrans;
	again.needless += info.tcpi_dsack_dups;
}

static void give_up_late(void)
{
	uint64_t at = now();

	for (int fd = 0; fd < MAX_FDS; fd++)
		if (about[fd].kind == CONNECTION && at - about[fd].start > GIVE_UP) {
			connections.failed++;
			connections.open--;
			drop(fd);
		}
}

int main(int argc, char **argv)
{
	static const char message[MESSAGE];
	struct sockaddr_storage to, denied;
	uint64_t next, start, count = 0;
	socklen_t length;
	int denied_client;
	cpu_set_t cpus;

	if (argc != 7) {
		fprintf(stderr, "usage: bench-steady CLIENT_NETNS SERVER_NETNS ADDRESS PORT DENIED_PORT CPU\n");
		return 2;
	}
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[6]), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	setpriority(PRIO_PROCESS, 0, -15);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, end);
	poller = epoll_create1(EPOLL_CLOEXEC);
	length = read_address(argv[3], atoi(argv[4]), &to);
	read_address(argv[3], atoi(argv[5]), &denied);
	enter(argv[2]);
	make_server(&to, length, SOCK_DGRAM, UDP_SERVER);
	make_server(&to, length, SOCK_STREAM, LISTENER);
	make_server(&denied, length, SOCK_DGRAM, DENIED);
	enter(argv[1]);
	udp_client = make_socket(&to, SOCK_DGRAM);
	denied_client = make_socket(&denied, SOCK_DGRAM);
	stream = make_socket(&to, SOCK_STREAM);
	if (connect(udp_client, (void *)&to, length) || connect(denied_client, (void *)&denied, length))
		die("connect");
	if (connect(stream, (void *)&to, length) && errno != EINPROGRESS)
		die("connect");
	watch(udp_client, UDP_CLIENT, EPOLLIN);
	watch(stream, STREAM, EPOLLIN);
	serve_until(now() + 200 * TICK);
	start = next = now();
	while (!ending) {
		uint64_t at = now();

		if (at - next > late)
			late = at - next;
		udp.sent += send(udp_client, message, MESSAGE, 0) == MESSAGE;
		if (about[stream].kind == STREAM && write(stream, message, MESSAGE) == MESSAGE)
			tcp.sent += MESSAGE;
		if (count++ % EACH == 0) {
			denied_sent += send(denied_client, message, MESSAGE, 0) == MESSAGE;
			if (connections.open < MAX_OPEN)
				open_connection(&to, length);
		}
		if (count % 1000 == 0)
			give_up_late();
		if (count == 100) {
			if (!udp.back || !tcp.back || !connections.answered) {
				fprintf(stderr, "bench-steady: nothing comes back (udp %llu, tcp %llu, connections %llu)\n",
					(unsigned long long)udp.back, (unsigned long long)tcp.back,
					(unsigned long long)connections.answered);
				return 1;
			}
			printf("ready\n");
			fflush(stdout);
		}
		next += TICK;
		serve_until(next);
	}
	next = now();
	serve_until(next + DRAIN);
	connections.failed += connections.open;
	count_retransmits(stream);
	count_retransmits(accepted_stream);
	printf("{\"seconds\":%.3f,\"ownLateMs\":%.3f,", (next - start) / 1e9, late / 1e6);
	printf("\"udp\":{\"sent\":%llu,\"lost\":%lld,\"longestGapMs\":%.3f},", (unsigned long long)udp.sent,
	       (long long)(udp.sent - udp.back), udp.gap / 1e6);
	printf("\"tcp\":{\"exchanges\":%llu,\"unanswered\":%lld,\"sentAgain\":%u,\"ofThemNeedlessly\":%u,\"resets\":%llu,\"longestGapMs\":%.3f},",
	       (unsigned long long)(tcp.back / MESSAGE), (long long)(tcp.sent - tcp.back) / MESSAGE, again.all,
	       again.needless, (unsigned long long)resets, tcp.gap / 1e6);
	printf("\"connections\":{\"opened\":%llu,\"answered\":%llu,\"failed\":%llu,\"slowestMs\":%.3f},",
	       (unsigned long long)connections.opened, (unsigned long long)connections.answered,
	       (unsigned long long)connections.failed, connections.slowest / 1e6);
	printf("\"denied\":{\"sent\":%llu,\"passed\":%llu}}\n", (unsigned long long)denied_sent,
	       (unsigned long long)denied_passed);
	return 0;
}
