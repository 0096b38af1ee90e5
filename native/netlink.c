/* Netlink sockets: opening, one message out, one datagram in. Messages are made in TypeScript. */
#include "heddle.h"
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int open_netlink(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -errno;
	int on = 1;
	/* The answer to a request is made before send() returns; the limit is for what nobody foresaw. */
	struct timeval limit = { .tv_sec = 5 };
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	/* The kernel's words on refusal, without the request repeated, and strict reading of what is asked. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

/* netlinkOpen(protocol): fd */
static napi_value netlink_open(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int fd = open_netlink(get_int(env, args.at[0]));
	return fd < 0 ? fail(env, -fd, NULL, "open a netlink socket") : make_int(env, fd);
}

/* netlinkSend(fd, message) */
static napi_value netlink_send(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	size_t length;
	void *message = get_bytes(env, args.at[1], &length);
	ssize_t sent;
	do
		sent = sendto(get_int(env, args.at[0]), message, length, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? fail(env, errno, NULL, "send a netlink message") : NULL;
}

/* Datagrams of other processes are not answers. */
ssize_t receive_netlink(int fd, void *into, size_t room)
{
	struct sockaddr_nl from;
	ssize_t length;
	do {
		socklen_t size = sizeof(from);
		memset(&from, 0, sizeof(from));
		length = recvfrom(fd, into, room, MSG_TRUNC, (struct sockaddr *)&from, &size);
	} while ((length < 0 && errno == EINTR) || (length >= 0 && from.nl_pid != 0));
	if (length >= 0 && (size_t)length > room) {
		errno = EMSGSIZE;
		return -1;
	}
	return length;
}

/* netlinkReceive(fd, into): length */
static napi_value netlink_receive(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t room;
	void *into = get_bytes(env, args.at[1], &room);
	ssize_t length = receive_netlink(get_int(env, args.at[0]), into, room);
	return length < 0 ? fail(env, errno, NULL, "receive the kernel's netlink answer") : make_int(env, length);
}

static const struct method methods[] = {
	{ "netlinkOpen", netlink_open },
	{ "netlinkSend", netlink_send },
	{ "netlinkReceive", netlink_receive },
};
REGISTER(register_netlink, methods)
