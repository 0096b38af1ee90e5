/* epoll, and descriptors in Node's own event loop. */
#include "heddle.h"
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#define MAX_EVENTS 1024

/* epollCreate(): fd */
static napi_value epoll_open(napi_env env, napi_callback_info info)
{
	(void)info;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	return fd < 0 ? fail(env, errno, NULL, "open an epoll descriptor") : make_int(env, fd);
}

/* epollControl(epoll, operation, fd, events, token) */
static napi_value epoll_control(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int fd = get_int(env, args.at[2]);
	struct epoll_event event = { .events = get_int(env, args.at[3]), .data.u32 = get_int(env, args.at[4]) };
	int result = epoll_ctl(get_int(env, args.at[0]), get_int(env, args.at[1]), fd, &event);
	return result < 0 ? fail(env, errno, NULL, "change the watch on descriptor %d", fd) : NULL;
}

/* epollWait(epoll, out, timeoutMs): number of (events, token) pairs, or -errno */
static napi_value epoll_wait_events(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	struct epoll_event events[MAX_EVENTS];
	size_t bytes;
	uint32_t *out = get_bytes(env, args.at[1], &bytes);
	size_t room = bytes / 8;
	int count = epoll_wait(get_int(env, args.at[0]), events, room < MAX_EVENTS ? (int)room : MAX_EVENTS,
			       get_int(env, args.at[2]));
	for (int i = 0; i < count; i++) {
		out[2 * i] = events[i].events;
		out[2 * i + 1] = events[i].data.u32;
	}
	/* A signal is no event. */
	return make_int(env, count < 0 ? (errno == EINTR ? 0 : -errno) : count);
}

/* A uv_poll handle, freed when both libuv and JavaScript have let it go. */
struct watch {
	uv_poll_t poll;
	napi_env env;
	napi_ref ready;
	napi_async_context context;
	bool stopped;
	int holders;
};

static void watch_release(struct watch *watch)
{
	if (--watch->holders == 0)
		free(watch);
}

static void watch_closed(uv_handle_t *handle)
{
	watch_release(handle->data);
}

static void watch_end(struct watch *watch)
{
	if (watch->stopped)
		return;
	watch->stopped = true;
	napi_delete_reference(watch->env, watch->ready);
	napi_async_destroy(watch->env, watch->context);
	uv_close((uv_handle_t *)&watch->poll, watch_closed);
}

static void watch_fired(uv_poll_t *handle, int status, int events)
{
	(void)status, (void)events;
	struct watch *watch = handle->data;
	napi_env env = watch->env;
	napi_handle_scope scope;
	napi_value ready, global, error;
	bool thrown = false;
	napi_open_handle_scope(env, &scope);
	napi_get_reference_value(env, watch->ready, &ready);
	napi_get_global(env, &global);
	uv_poll_stop(handle);
	/* The callback may stop the watch: hold it until after. */
	watch->holders++;
	napi_make_callback(env, watch->context, global, ready, 0, NULL, NULL);
	watch_end(watch);
	watch_release(watch);
	napi_is_exception_pending(env, &thrown);
	if (thrown && napi_get_and_clear_last_exception(env, &error) == napi_ok)
		napi_fatal_exception(env, error);
	napi_close_handle_scope(env, scope);
}

static void watch_collected(napi_env env, void *data, void *hint)
{
	(void)env, (void)hint;
	watch_release(data);
}

/* watchStart(fd, ready) */
static napi_value watch_start(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	uv_loop_t *loop = NULL;
	napi_value result, name = make_text(env, "heddle:watch");
	struct watch *watch = calloc(1, sizeof(*watch));
	napi_get_uv_event_loop(env, &loop);
	int error = watch && loop ? uv_poll_init(loop, &watch->poll, get_int(env, args.at[0])) : -ENOMEM;
	if (error) {
		free(watch);
		return fail(env, -error, NULL, "watch a descriptor");
	}
	watch->env = env;
	watch->poll.data = watch;
	watch->holders = 2;
	napi_create_reference(env, args.at[1], 1, &watch->ready);
	napi_async_init(env, NULL, name, &watch->context);
	napi_create_external(env, watch, watch_collected, NULL, &result);
	error = uv_poll_start(&watch->poll, UV_READABLE, watch_fired);
	if (error) {
		watch_end(watch);
		return fail(env, -error, NULL, "watch a descriptor");
	}
	return result;
}

/* watchStop(watch) */
static napi_value watch_stop(napi_env env, napi_callback_info info)
{
	struct watch *watch = NULL;
	napi_get_value_external(env, get_args(env, info).at[0], (void **)&watch);
	if (watch)
		watch_end(watch);
	return NULL;
}

static const struct method methods[] = {
	{ "epollCreate", epoll_open },
	{ "epollControl", epoll_control },
	{ "epollWait", epoll_wait_events },
	{ "watchStart", watch_start },
	{ "watchStop", watch_stop },
};
REGISTER(register_poll, methods)
