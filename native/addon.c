/* Entry, errors, and conversion of arguments. */
#include "heddle.h"
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ENOTSUPP of include/linux/errno.h: the kernel lets it slip out though user space has no name for it. */
#define KERNEL_ENOTSUPP 524

/* The error class of the environment, given by initialize(). */
static napi_value error_class(napi_env env)
{
	napi_ref ref = NULL;
	napi_value class = NULL;
	if (napi_get_instance_data(env, (void **)&ref) == napi_ok && ref)
		napi_get_reference_value(env, ref, &class);
	return class;
}

static void name_of(int error, char *into, size_t size)
{
	const char *name = error == KERNEL_ENOTSUPP ? "ENOTSUPP" : strerrorname_np(error);
	if (name)
		snprintf(into, size, "%s", name);
	else
		snprintf(into, size, "errno %d", error);
}

napi_value make_failure(napi_env env, int error, const char *log, const char *operation)
{
	char code[32], text[128];
	napi_value failure, instance = NULL, class = error_class(env);
	name_of(error, code, sizeof(code));
	const char *words = error == KERNEL_ENOTSUPP ? "Not supported by this kernel" : strerror_r(error, text, sizeof(text));
	napi_create_object(env, &failure);
	set_text(env, failure, "operation", operation);
	set_text(env, failure, "code", code);
	set_text(env, failure, "text", words);
	set_int(env, failure, "errno", error);
	if (log && *log)
		set_text(env, failure, "log", log);
	if (class)
		napi_new_instance(env, class, 1, &failure, &instance);
	return instance;
}

napi_value fail(napi_env env, int error, const char *log, const char *format, ...)
{
	char operation[4400];
	va_list list;
	va_start(list, format);
	vsnprintf(operation, sizeof(operation), format, list);
	va_end(list);
	napi_value failure = make_failure(env, error, log, operation);
	if (failure)
		napi_throw(env, failure);
	else
		napi_throw_error(env, NULL, operation);
	return NULL;
}

bool add_methods(napi_env env, napi_value exports, const struct method *methods, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		napi_value function;
		if (napi_create_function(env, methods[i].name, NAPI_AUTO_LENGTH, methods[i].call, NULL, &function) != napi_ok ||
		    napi_set_named_property(env, exports, methods[i].name, function) != napi_ok)
			return false;
	}
	return true;
}

struct args get_args(napi_env env, napi_callback_info info)
{
	struct args args;
	size_t count = MAX_ARGS;
	/* Node-API fills what was not given with undefined. */
	napi_get_cb_info(env, info, &count, args.at, NULL, NULL);
	return args;
}

int32_t get_int(napi_env env, napi_value value)
{
	/* ToInt32 of the number: u32 values keep their bits. */
	int32_t number = 0;
	napi_get_value_int32(env, value, &number);
	return number;
}

bool get_bool(napi_env env, napi_value value)
{
	bool flag = false;
	napi_get_value_bool(env, value, &flag);
	return flag;
}

void *get_bytes(napi_env env, napi_value value, size_t *length)
{
	bool typed = false;
	napi_typedarray_type type;
	size_t elements = 0;
	void *data = NULL;
	*length = 0;
	if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed)
		return NULL;
	napi_get_typedarray_info(env, value, &type, &elements, &data, NULL, NULL);
	*length = type == napi_uint32_array ? elements * 4 : elements;
	return data;
}

void get_text(napi_env env, napi_value value, char *into, size_t size)
{
	size_t length;
	into[0] = 0;
	napi_get_value_string_utf8(env, value, into, size, &length);
}

bool is_nullish(napi_env env, napi_value value)
{
	napi_valuetype type = napi_undefined;
	napi_typeof(env, value, &type);
	return type == napi_undefined || type == napi_null;
}

napi_value make_int(napi_env env, int64_t value)
{
	napi_value result = NULL;
	napi_create_int64(env, value, &result);
	return result;
}

napi_value make_bool(napi_env env, bool value)
{
	napi_value result = NULL;
	napi_get_boolean(env, value, &result);
	return result;
}

napi_value make_text(napi_env env, const char *value)
{
	napi_value result = NULL;
	napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &result);
	return result;
}

void set_int(napi_env env, napi_value object, const char *key, int64_t value)
{
	napi_set_named_property(env, object, key, make_int(env, value));
}

void set_text(napi_env env, napi_value object, const char *key, const char *value)
{
	napi_set_named_property(env, object, key, make_text(env, value));
}

/* initialize(errorClass) */
static napi_value initialize(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	napi_ref ref;
	napi_create_reference(env, args.at[0], 1, &ref);
	napi_set_instance_data(env, ref, NULL, NULL);
	return NULL;
}

/* failure(operation, errno, log?) */
static napi_value failure(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char operation[4400], log[8192];
	get_text(env, args.at[0], operation, sizeof(operation));
	get_text(env, args.at[2], log, sizeof(log));
	return make_failure(env, get_int(env, args.at[1]), log, operation);
}

/* errnoName(errno) */
static napi_value errno_name(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char name[32];
	name_of(get_int(env, args.at[0]), name, sizeof(name));
	return make_text(env, name);
}

/* close(fd) */
static napi_value close_descriptor(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int fd = get_int(env, args.at[0]);
	/* On Linux the descriptor is gone after EINTR too. */
	if (close(fd) < 0 && errno != EINTR)
		return fail(env, errno, NULL, "close descriptor %d", fd);
	return NULL;
}

/*
 * Unmaps the pages of programs and libraries; what is used again is mapped again, from the page cache. Mappings that may be
 * written, are not of a file, or have a page of their own (a breakpoint; --use-largepages) stay: that would be lost.
 */
static void unmap_text(void)
{
	struct {
		unsigned long from, to, inode;
		char access[5];
	} read, at = { 0 };
	char line[4400];
	FILE *maps = fopen("/proc/self/smaps", "re");
	if (!maps)
		return;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long own;
		if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &read.from, &read.to, read.access, &read.inode) == 4)
			at = read;
		else if (sscanf(line, "Anonymous: %lu", &own) == 1 && own == 0 && at.inode != 0 && at.access[1] == '-' &&
			 at.access[3] == 'p')
			madvise((void *)at.from, at.to - at.from, MADV_DONTNEED);
	}
	fclose(maps);
}

/* trimMemory(): gives the kernel what malloc keeps of freed memory in all threads' arenas, and program pages that starting alone used. */
static napi_value trim_memory(napi_env env, napi_callback_info info)
{
	(void)env;
	(void)info;
	malloc_trim(0);
	unmap_text();
	return NULL;
}

static const struct method methods[] = {
	{ "initialize", initialize },
	{ "failure", failure },
	{ "errnoName", errno_name },
	{ "close", close_descriptor },
	{ "trimMemory", trim_memory },
};
static REGISTER(register_common, methods)

NAPI_MODULE_INIT()
{
	bool done = register_common(env, exports) && register_bpf(env, exports) && register_object(env, exports) &&
		    register_ring(env, exports) && register_namespace(env, exports) && register_netlink(env, exports) &&
		    register_socket(env, exports) && register_poll(env, exports) && register_grace(env, exports) &&
		    register_steps(env, exports);
	return done ? exports : NULL;
}
