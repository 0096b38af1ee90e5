/*
 * Steps in network namespaces, taken one after the other on a worker thread: netlink requests and settings. What holds the kernel's
 * network lock, or waits for RCU, keeps a worker waiting and not the event loop.
 *
 * A batch is a row of records: struct record, then `length` bytes padded to four. A SCRIPT begins a new script; the first step of a
 * script that fails ends it, and the next one begins. The answer is a row of struct answer and bytes in the same way: each datagram
 * that the kernel sent, and each failure of a system call.
 */
#include "heddle.h"
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRIPT, NETLINK, SETTING };

struct record {
	uint32_t kind;
	/* Descriptor of the network namespace to be in. */
	int32_t namespace;
	/* NETLINK: acknowledgements and ends of dumps to wait for. */
	uint32_t answers;
	/* NETLINK: errno that counts as success. */
	int32_t tolerated;
	uint32_t length;
};

struct answer {
	/* Which NETLINK or SETTING, counted from 0 over all scripts. */
	uint32_t step;
	/* errno of a system call; 0: a datagram follows. */
	int32_t error;
	uint32_t length;
};

#define PADDED(length) (((size_t)(length) + 3) & ~(size_t)3)
/* The kernel never sends a larger datagram of a dump (net/netlink/af_netlink.c, netlink_recvmsg). */
#define DATAGRAM_BYTES (32 * 1024)
#define NAMESPACE "/proc/thread-self/ns/net"

struct batch {
	napi_async_work work;
	napi_ref done;
	uint8_t *records, *answers, *datagram;
	size_t length, used, room;
	/* No memory for the answers: they are not whole. */
	bool full;
	/* Namespace that the thread is in, and a socket of it; -1: the one it came from, and none. */
	int inside, socket;
	/*
	 * Folder of the last setting, and its path; -1: none. The kernel finds a namespace's /proc/sys/net/ipv6 among those of all, one
	 * after the other (fs/proc/proc_sysctl.c, proc_sys_compare): among a thousand pods that is the dear part of a setting.
	 */
	int folder;
	size_t folder_length;
	char folder_path[256];
};

static void note(struct batch *batch, uint32_t step, int error, size_t length)
{
	const struct answer answer = { .step = step, .error = error, .length = (uint32_t)length };
	const size_t need = sizeof(answer) + PADDED(length);
	if (batch->room - batch->used < need) {
		const size_t room = 2 * (batch->used + need);
		uint8_t *grown = realloc(batch->answers, room);
		if (!grown) {
			batch->full = true;
			return;
		}
		batch->answers = grown;
		batch->room = room;
	}
	memcpy(batch->answers + batch->used, &answer, sizeof(answer));
	memcpy(batch->answers + batch->used + sizeof(answer), batch->datagram, length);
	batch->used += need;
}

static void leave_socket(struct batch *batch)
{
	if (batch->socket >= 0)
		close(batch->socket);
	batch->socket = -1;
}

static void leave_folder(struct batch *batch)
{
	if (batch->folder >= 0)
		close(batch->folder);
	batch->folder = -1;
}

/* Returns 0 or an errno. */
static int enter(struct batch *batch, int namespace)
{
	if (batch->inside == namespace)
		return 0;
	leave_socket(batch);
	leave_folder(batch);
	if (setns(namespace, CLONE_NEWNET) < 0)
		return errno;
	batch->inside = namespace;
	return 0;
}

/*
 * Counts the acknowledgements and ends in the datagram; an errno that is not tolerated goes to `failed`. Messages of a dump lie
 * between; the datagram is the kernel's own and well formed.
 */
static uint32_t count_ends(const struct batch *batch, size_t length, int tolerated, int *failed)
{
	uint32_t ends = 0;
	for (size_t at = 0; at + sizeof(struct nlmsghdr) <= length;) {
		struct nlmsghdr header;
		int status = 0;
		memcpy(&header, batch->datagram + at, sizeof(header));
		if (header.nlmsg_len < sizeof(header) || at + header.nlmsg_len > length)
			break;
		if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
			ends++;
			if (header.nlmsg_len >= sizeof(header) + sizeof(status))
				memcpy(&status, batch->datagram + at + sizeof(header), sizeof(status));
			if (status < 0 && -status != tolerated)
				*failed = -status;
		}
		at += PADDED(header.nlmsg_len);
	}
	return ends;
}

/* False when the script ends here. */
static bool ask(struct batch *batch, uint32_t step, const struct record *record, const uint8_t *message)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int failed = 0;
	ssize_t length;
	if (batch->socket < 0)
		batch->socket = open_netlink(NETLINK_ROUTE);
	if (batch->socket < 0) {
		note(batch, step, -batch->socket, 0);
		return false;
	}
	do
		length = sendto(batch->socket, message, record->length, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (length < 0 && errno == EINTR);
	for (uint32_t ends = 0; length >= 0 && ends < record->answers;) {
		length = receive_netlink(batch->socket, batch->datagram, DATAGRAM_BYTES);
		if (length < 0)
			break;
		ends += count_ends(batch, (size_t)length, record->tolerated, &failed);
		note(batch, step, 0, (size_t)length);
	}
	if (length < 0) {
		note(batch, step, errno, 0);
		/* What comes late must not be taken for the answer to the next request. */
		leave_socket(batch);
	}
	return length >= 0 && !failed;
}

/* Opens the folder of the file, or keeps it for the next setting of the same link. Returns 0 or an errno. */
static int open_folder(struct batch *batch, const char *path)
{
	const size_t length = (size_t)(strrchr(path, '/') - path);
	if (batch->folder >= 0 && batch->folder_length == length && !memcmp(batch->folder_path, path, length))
		return 0;
	leave_folder(batch);
	if (length >= sizeof(batch->folder_path))
		return ENAMETOOLONG;
	memcpy(batch->folder_path, path, length);
	batch->folder_path[length] = 0;
	batch->folder_length = length;
	batch->folder = open(batch->folder_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return batch->folder < 0 ? errno : 0;
}

/* Sets the file unless it holds the value. One that is not there (a kernel without IPv6) is left out. Returns 0 or an errno. */
static int set(struct batch *batch, const char *path, const char *value)
{
	const size_t wanted = strlen(value);
	char found[64];
	bool read_only = false;
	int error = open_folder(batch, path);
	if (error)
		return error == ENOENT ? 0 : error;
	const char *name = path + batch->folder_length + 1;
	int fd = openat(batch->folder, name, O_RDWR | O_CLOEXEC);
	/* What need not be changed may be read-only, as in a container. */
	if (fd < 0 && (errno == EROFS || errno == EACCES)) {
		fd = openat(batch->folder, name, O_RDONLY | O_CLOEXEC);
		read_only = true;
	}
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	ssize_t length = read(fd, found, sizeof(found));
	if (length < 0)
		error = errno;
	while (length > 0 && (found[length - 1] == '\n' || found[length - 1] == ' '))
		length--;
	const bool same = (size_t)length == wanted && !memcmp(found, value, wanted);
	if (!error && !same && read_only)
		error = EROFS;
	else if (!error && !same && pwrite(fd, value, wanted, 0) < 0)
		error = errno;
	close(fd);
	return error;
}

static bool take(struct batch *batch, uint32_t step, const struct record *record, const uint8_t *bytes)
{
	int error = enter(batch, record->namespace);
	if (!error && record->kind == NETLINK)
		return ask(batch, step, record, bytes);
	/* Absolute path and value, each with the zero byte that ends it. */
	if (!error)
		error = set(batch, (const char *)bytes, (const char *)bytes + strlen((const char *)bytes) + 1);
	if (error)
		note(batch, step, error, 0);
	return !error;
}

static void perform(napi_env env, void *data)
{
	(void)env;
	struct batch *batch = data;
	bool goes_on = true;
	uint32_t step = 0;
	int home = open(NAMESPACE, O_RDONLY | O_CLOEXEC);
	if (home < 0) {
		batch->full = true;
		return;
	}
	for (size_t at = 0; at + sizeof(struct record) <= batch->length;) {
		struct record record;
		memcpy(&record, batch->records + at, sizeof(record));
		if (record.kind == SCRIPT)
			goes_on = true;
		else if (goes_on)
			goes_on = take(batch, step, &record, batch->records + at + sizeof(record));
		if (record.kind != SCRIPT)
			step++;
		at += sizeof(record) + PADDED(record.length);
	}
	leave_socket(batch);
	leave_folder(batch);
	/* A worker that stayed in a pod's namespace would do the next job there. */
	if (batch->inside >= 0 && setns(home, CLONE_NEWNET) < 0)
		abort();
	close(home);
}

static void tell(napi_env env, napi_status status, void *data)
{
	struct batch *batch = data;
	napi_value done = NULL, global, arguments[2];
	napi_get_global(env, &global);
	napi_get_reference_value(env, batch->done, &done);
	napi_get_null(env, &arguments[0]);
	napi_get_null(env, &arguments[1]);
	if (status == napi_ok && batch->full)
		arguments[0] = make_failure(env, ENOMEM, NULL, "take steps in network namespaces");
	else if (status == napi_ok)
		napi_create_buffer_copy(env, batch->used, batch->answers, NULL, &arguments[1]);
	napi_delete_reference(env, batch->done);
	napi_delete_async_work(env, batch->work);
	free(batch->records);
	free(batch->answers);
	free(batch->datagram);
	free(batch);
	if (done && status == napi_ok)
		napi_call_function(env, global, done, 2, arguments, NULL);
}

/* takeSteps(records, done) */
static napi_value take_steps(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	const void *records = get_bytes(env, args.at[0], &length);
	struct batch *batch = calloc(1, sizeof(*batch));
	if (batch) {
		batch->records = malloc(length + 1);
		batch->datagram = malloc(DATAGRAM_BYTES);
	}
	if (!batch || !batch->records || !batch->datagram) {
		if (batch)
			free(batch->records), free(batch->datagram);
		free(batch);
		return fail(env, ENOMEM, NULL, "take steps in network namespaces");
	}
	memcpy(batch->records, records, length);
	batch->length = length;
	batch->inside = batch->socket = batch->folder = -1;
	napi_create_reference(env, args.at[1], 1, &batch->done);
	napi_create_async_work(env, NULL, make_text(env, "heddle:steps"), perform, tell, batch, &batch->work);
	napi_queue_async_work(env, batch->work);
	return NULL;
}

static const struct method methods[] = {
	{ "takeSteps", take_steps },
};
REGISTER(register_steps, methods)
