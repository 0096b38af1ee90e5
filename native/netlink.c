/* Netlink sockets: opening, one message out, one datagram in. Messages are made in TypeScript. */
#include "heddle.h"
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* netlinkOpen(protocol): fd */
static napi_value netlink_open(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, get_int(env, args.at[0]));
	if (fd < 0)
		return fail(env, errno, NULL, "open a netlink socket");
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
		return fail(env, error, NULL, "bind a netlink socket");
	}
	return make_int(env, fd);
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

/* netlinkReceive(fd, into): length. Datagrams of other processes are not answers. */
static napi_value netlink_receive(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t room;
	void *into = get_bytes(env, args.at[1], &room);
	struct sockaddr_nl from;
	ssize_t length;
	do {
		socklen_t size = sizeof(from);
		memset(&from, 0, sizeof(from));
		length = recvfrom(get_int(env, args.at[0]), into, room, MSG_TRUNC, (struct sockaddr *)&from, &size);
	} while ((length < 0 && errno == EINTR) || (length >= 0 && from.nl_pid != 0));
	if (length < 0)
		return fail(env, errno, NULL, "receive the kernel's netlink answer");
	if ((size_t)length > room)
		return fail(env, EMSGSIZE, NULL, "receive a netlink answer of %zd bytes", length);
	return make_int(env, length);
}

static const struct method methods[] = {
	{ "netlinkOpen", netlink_open },
	{ "netlinkSend", netlink_send },
	{ "netlinkReceive", netlink_receive },
};
REGISTER(register_netlink, methods)
