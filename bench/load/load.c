// SPDX-License-Identifier: Apache-2.0
/*
 * The load of bench/: both ends of one exchange on one CPU, each in a network namespace of its own, for a bounded time.
 *
 *   bench-load rr|crr|stream|udp CLIENT_NETNS SERVER_NETNS SERVER_ADDRESS PORT MILLISECONDS CPU
 *   bench-load exec PARALLEL PROGRAM STDIN_FILE < "CONTAINER_ID NETNS IFNAME COMMAND EXTRA_ARGS" lines
 *
 * Prints one JSON object: exchanges, seconds of the clock and of the CPU, latencies in ns, bytes. `exec` starts a CNI plugin once for
 * each line and prints the ns from start to exit of each, one a line, and the exit code.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES 400000
#define CHUNK (256 * 1024)
#define BURST 32

static uint32_t samples[MAX_SAMPLES];
static size_t sampled;

static void die(const char *what)
{
	fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
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
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1) {
		errno = EINVAL;
		die(text);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	return sizeof(*six);
}

static void set(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		die("setsockopt");
}

/* A call that hangs (a policy that drops) ends the run. */
static void limit_time(int fd)
{
	struct timeval limit = { .tv_sec = 3 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static double cpu_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t quantile(double share)
{
	return sampled ? samples[(size_t)(share * (sampled - 1))] : 0;
}

static void sample(uint64_t nanoseconds)
{
	if (sampled < MAX_SAMPLES)
		samples[sampled++] = nanoseconds > UINT32_MAX ? UINT32_MAX : nanoseconds;
}

static void report(uint64_t count, double seconds, double cpu, uint64_t bytes)
{
	qsort(samples, sampled, sizeof(*samples), compare);
	printf("{\"count\":%llu,\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"bytes\":%llu,\"p50\":%u,\"p90\":%u,\"p99\":%u}\n",
	       (unsigned long long)count, seconds, cpu, (unsigned long long)bytes, quantile(0.5), quantile(0.9), quantile(0.99));
}

static int listen_at(const struct sockaddr_storage *to, socklen_t length)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind(fd, (const void *)to, length) || listen(fd, 128))
		die("listen");
	return fd;
}

static int connect_to(const struct sockaddr_storage *to, socklen_t length)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	limit_time(fd);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (connect(fd, (const void *)to, length))
		die("connect");
	return fd;
}

static void serve(const char *mode, int listener)
{
	static char buffer[CHUNK];
	char byte;

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die("accept");
		if (strcmp(mode, "stream") == 0) {
			while (read(fd, buffer, sizeof(buffer)) > 0)
				;
		} else {
			set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
			while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
				;
		}
		close(fd);
		if (strcmp(mode, "crr") != 0)
			exit(0);
	}
}

static void run_tcp(const char *mode, char **argv, const struct sockaddr_storage *to, socklen_t length, uint64_t duration)
{
	static char buffer[CHUNK];
	uint64_t count = 0, bytes = 0, start, end, before;
	int listener, fd, status;
	char byte = 1;
	double cpu;
	pid_t child;

	enter(argv[1]);
	listener = listen_at(to, length);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		serve(mode, listener);
	close(listener);
	enter(argv[0]);
	if (strcmp(mode, "crr") == 0) {
		cpu = cpu_of(RUSAGE_SELF);
		start = now();
		end = start + duration;
		while ((before = now()) < end) {
			fd = connect_to(to, length);
			if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
				die("exchange");
			close(fd);
			sample(now() - before);
			count++;
		}
		end = now();
		kill(child, SIGTERM);
	} else {
		fd = connect_to(to, length);
		cpu = cpu_of(RUSAGE_SELF);
		start = now();
		end = start + duration;
		while ((before = now()) < end) {
			if (strcmp(mode, "stream") == 0) {
				ssize_t sent = write(fd, buffer, sizeof(buffer));

				if (sent <= 0)
					die("write");
				bytes += sent;
			} else {
				if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
					die("exchange");
				sample(now() - before);
			}
			count++;
		}
		/* The server has all when it closes in turn. */
		shutdown(fd, SHUT_WR);
		if (strcmp(mode, "stream") == 0 && read(fd, &byte, 1) != 0)
			die("end of stream");
		end = now();
		close(fd);
	}
	cpu = cpu_of(RUSAGE_SELF) - cpu;
	waitpid(child, &status, 0);
	report(count, (end - start) / 1e9, cpu + cpu_of(RUSAGE_CHILDREN), bytes);
}

/* One process with a socket in each namespace: bursts that the receiver's buffer holds, so that nothing is lost by waiting. */
static void run_udp(char **argv, const struct sockaddr_storage *to, socklen_t length, uint64_t duration)
{
	uint64_t start, end, sent = 0, received = 0;
	char payload[64] = {0}, into[256];
	int server, client;
	double cpu;

	enter(argv[1]);
	server = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (server < 0 || bind(server, (const void *)to, length))
		die("bind");
	limit_time(server);
	enter(argv[0]);
	client = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (client < 0 || connect(client, (const void *)to, length))
		die("connect");
	if (send(client, payload, sizeof(payload), 0) < 0 || recv(server, into, sizeof(into), 0) < 0)
		die("first datagram");
	cpu = cpu_of(RUSAGE_SELF);
	start = now();
	end = start + duration;
	while (now() < end) {
		for (int i = 0; i < BURST; i++)
			sent += send(client, payload, sizeof(payload), 0) > 0;
		while (recv(server, into, sizeof(into), MSG_DONTWAIT) > 0)
			received++;
	}
	end = now();
	cpu = cpu_of(RUSAGE_SELF) - cpu;
	if (received < sent * 0.999) {
		fprintf(stderr, "bench-load: %llu of %llu datagrams arrived\n", (unsigned long long)received, (unsigned long long)sent);
		exit(1);
	}
	report(received, (end - start) / 1e9, cpu, received * sizeof(payload));
}

struct job {
	pid_t child;
	uint64_t start;
	int output;
};

static void finish_job(struct job *job)
{
	char buffer[4096], last[4096] = "";
	ssize_t got;
	int status;

	while ((got = read(job->output, buffer, sizeof(buffer) - 1)) > 0) {
		buffer[got] = 0;
		strcpy(last, buffer);
	}
	close(job->output);
	waitpid(job->child, &status, 0);
	printf("%llu %d\n", (unsigned long long)(now() - job->start), WEXITSTATUS(status));
	if (WEXITSTATUS(status))
		fprintf(stderr, "%s", last);
	job->child = 0;
}

static void start_job(struct job *job, const char *program, const char *input, char *line)
{
	char *container = strtok(line, " \n"), *netns = strtok(NULL, " \n"), *ifname = strtok(NULL, " \n");
	char *command = strtok(NULL, " \n"), *extra = strtok(NULL, "\n");
	int ends[2], file;

	if (!command || pipe2(ends, O_CLOEXEC))
		die("job");
	setenv("CNI_CONTAINERID", container, 1);
	setenv("CNI_NETNS", netns, 1);
	setenv("CNI_IFNAME", ifname, 1);
	setenv("CNI_COMMAND", command, 1);
	setenv("CNI_ARGS", extra ? extra : "", 1);
	job->start = now();
	job->output = ends[0];
	job->child = vfork();
	if (job->child < 0)
		die("vfork");
	if (job->child == 0) {
		file = open(input, O_RDONLY);
		dup2(file, 0);
		dup2(ends[1], 1);
		execl(program, program, NULL);
		_exit(127);
	}
	close(ends[1]);
}

/* As many at a time as asked for; the oldest is waited for first. */
static void run_exec(int parallel, const char *program, const char *input)
{
	struct job jobs[64] = {0};
	char line[1024];
	int next = 0;

	if (parallel < 1 || parallel > 64)
		parallel = 1;
	while (fgets(line, sizeof(line), stdin)) {
		struct job *job = &jobs[next++ % parallel];

		if (job->child)
			finish_job(job);
		start_job(job, program, input, line);
		if (parallel == 1)
			finish_job(job);
	}
	for (int i = 0; i < parallel; i++) {
		struct job *job = &jobs[next++ % parallel];

		if (job->child)
			finish_job(job);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length;
	uint64_t duration;
	cpu_set_t cpus;

	if (argc == 5 && strcmp(argv[1], "exec") == 0) {
		run_exec(atoi(argv[2]), argv[3], argv[4]);
		return 0;
	}
	if (argc != 8) {
		fprintf(stderr, "usage: bench-load MODE CLIENT_NETNS SERVER_NETNS ADDRESS PORT MILLISECONDS CPU\n");
		return 2;
	}
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[7]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("sched_setaffinity");
	setpriority(PRIO_PROCESS, 0, -15);
	signal(SIGPIPE, SIG_IGN);
	duration = strtoull(argv[6], NULL, 10) * 1000000u;
	alarm(duration / 1000000000u + 10);
	length = read_address(argv[4], atoi(argv[5]), &to);
	if (strcmp(argv[1], "udp") == 0)
		run_udp(argv + 2, &to, length, duration);
	else
		run_tcp(argv[1], argv + 2, &to, length, duration);
	return 0;
}
