/* BSD sockets, never blocking. Results are as of the system call, with -errno in place of -1. */
#include "heddle.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static napi_value result_of(napi_env env, ssize_t result)
{
	return make_int(env, result < 0 ? -errno : result);
}

/* socketOpen(domain, type, protocol) */
static napi_value socket_open(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	return result_of(env, socket(get_int(env, args.at[0]), get_int(env, args.at[1]) | SOCK_NONBLOCK | SOCK_CLOEXEC,
				     get_int(env, args.at[2])));
}

/* socketBind(fd, address) */
static napi_value socket_bind(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *address = get_bytes(env, args.at[1], &length);
	return result_of(env, bind(get_int(env, args.at[0]), address, length));
}

/* socketConnect(fd, address) */
static napi_value socket_connect(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *address = get_bytes(env, args.at[1], &length);
	return result_of(env, connect(get_int(env, args.at[0]), address, length));
}

/* socketListen(fd, backlog) */
static napi_value socket_listen(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	return result_of(env, listen(get_int(env, args.at[0]), get_int(env, args.at[1])));
}

/* socketAccept(fd, address) */
static napi_value socket_accept(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *address = get_bytes(env, args.at[1], &length);
	socklen_t size = length;
	return result_of(env, accept4(get_int(env, args.at[0]), address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/* socketSend(fd, data, address | null) */
static napi_value socket_send(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length, size;
	void *data = get_bytes(env, args.at[1], &length), *address = get_bytes(env, args.at[2], &size);
	return result_of(env, sendto(get_int(env, args.at[0]), data, length, MSG_DONTWAIT | MSG_NOSIGNAL, address, size));
}

/* socketReceive(fd, into, address) */
static napi_value socket_receive(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t room, size;
	void *into = get_bytes(env, args.at[1], &room), *address = get_bytes(env, args.at[2], &size);
	socklen_t address_size = size;
	return result_of(env, recvfrom(get_int(env, args.at[0]), into, room, MSG_DONTWAIT, address, &address_size));
}

/* socketName(fd, address) */
static napi_value socket_name(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *address = get_bytes(env, args.at[1], &length);
	socklen_t size = length;
	return result_of(env, getsockname(get_int(env, args.at[0]), address, &size));
}

/* socketSetOption(fd, level, option, value) */
static napi_value socket_set_option(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *value = get_bytes(env, args.at[3], &length);
	return result_of(env, setsockopt(get_int(env, args.at[0]), get_int(env, args.at[1]), get_int(env, args.at[2]), value,
					 length));
}

/* socketGetOption(fd, level, option, value): length */
static napi_value socket_get_option(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *value = get_bytes(env, args.at[3], &length);
	socklen_t size = length;
	int result = getsockopt(get_int(env, args.at[0]), get_int(env, args.at[1]), get_int(env, args.at[2]), value, &size);
	return result_of(env, result < 0 ? result : (ssize_t)size);
}

/* socketShutdown(fd, how) */
static napi_value socket_shutdown(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	return result_of(env, shutdown(get_int(env, args.at[0]), get_int(env, args.at[1])));
}

static const struct method methods[] = {
	{ "socketOpen", socket_open },
	{ "socketBind", socket_bind },
	{ "socketConnect", socket_connect },
	{ "socketListen", socket_listen },
	{ "socketAccept", socket_accept },
	{ "socketSend", socket_send },
	{ "socketReceive", socket_receive },
	{ "socketName", socket_name },
	{ "socketSetOption", socket_set_option },
	{ "socketGetOption", socket_get_option },
	{ "socketShutdown", socket_shutdown },
};
REGISTER(register_socket, methods)
