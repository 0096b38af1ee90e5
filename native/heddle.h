/*
 * The addon's shared ground. Functions know bytes, descriptors and paths; sizes and types are checked by the TypeScript
 * in src/kernel, the only caller. A function either returns its result or has thrown and returns NULL.
 */
#ifndef HEDDLE_H
#define HEDDLE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 9
#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Throws a KernelError "Cannot <operation>: …"; log may be NULL. Always returns NULL. */
napi_value fail(napi_env env, int error, const char *log, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same, as a value instead of a throw. */
napi_value make_failure(napi_env env, int error, const char *log, const char *operation);

struct method {
	const char *name;
	napi_callback call;
};
bool add_methods(napi_env env, napi_value exports, const struct method *methods, size_t count);

#define MAX_ARGS 6
/* Arguments of the call; those not given are undefined. */
struct args {
	napi_value at[MAX_ARGS];
};
struct args get_args(napi_env env, napi_callback_info info);

int32_t get_int(napi_env env, napi_value value);
bool get_bool(napi_env env, napi_value value);
/* Bytes of a typed array; length 0 and NULL for anything else (null, undefined). */
void *get_bytes(napi_env env, napi_value value, size_t *length);
/* Copies at most size - 1 bytes of a string, zero-terminated; "" for anything else. */
void get_text(napi_env env, napi_value value, char *into, size_t size);
bool is_nullish(napi_env env, napi_value value);

napi_value make_int(napi_env env, int64_t value);
napi_value make_bool(napi_env env, bool value);
napi_value make_text(napi_env env, const char *value);
void set_int(napi_env env, napi_value object, const char *key, int64_t value);
void set_text(napi_env env, napi_value object, const char *key, const char *value);

/* A netlink socket of the calling thread's namespace, or -errno. */
int open_netlink(int protocol);
/* Waits for a datagram of the kernel, at most five seconds; returns its length, or -1 with errno (EMSGSIZE: longer than the room). */
ssize_t receive_netlink(int fd, void *into, size_t room);

bool register_bpf(napi_env env, napi_value exports);
bool register_object(napi_env env, napi_value exports);
bool register_ring(napi_env env, napi_value exports);
bool register_namespace(napi_env env, napi_value exports);
bool register_netlink(napi_env env, napi_value exports);
bool register_socket(napi_env env, napi_value exports);
bool register_poll(napi_env env, napi_value exports);
bool register_grace(napi_env env, napi_value exports);
bool register_steps(napi_env env, napi_value exports);

#define REGISTER(function, table)                                                     \
	bool function(napi_env env, napi_value exports)                                   \
	{                                                                                 \
		return add_methods(env, exports, table, sizeof(table) / sizeof((table)[0]));  \
	}

#endif
