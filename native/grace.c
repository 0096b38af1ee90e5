/* RCU grace periods, waited for on a worker thread. */
#define _GNU_SOURCE
#include "heddle.h"
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct grace {
	napi_async_work work;
	napi_ref done;
	int error;
};

#define MAX_CPUS 4096

/*
 * Runs on every CPU that is online, one after the other. A program at a traffic-control hook or in a timer runs with softirqs off, so
 * no thread runs on its CPU before it has ended: once this one has been everywhere, all that ran before have. Takes some 20 µs a CPU,
 * against 8 to 20 ms of a grace period. Programs at cgroup hooks run in threads that may be preempted: tables that those read need the
 * grace period. False where that cannot be done: the kernel is PREEMPT_RT, or the process may not run
 * on every CPU.
 */
static bool visit_all_cpus(void)
{
	cpu_set_t *home = CPU_ALLOC(MAX_CPUS), *one = CPU_ALLOC(MAX_CPUS);
	const size_t size = CPU_ALLOC_SIZE(MAX_CPUS);
	const long online = sysconf(_SC_NPROCESSORS_ONLN), configured = sysconf(_SC_NPROCESSORS_CONF);
	long visited = 0;

	if (home && one && access("/sys/kernel/realtime", F_OK) && configured <= MAX_CPUS && !sched_getaffinity(0, size, home)) {
		for (long cpu = 0; cpu < configured; cpu++) {
			CPU_ZERO_S(size, one);
			CPU_SET_S(cpu, size, one);
			visited += !sched_setaffinity(0, size, one);
		}
		sched_setaffinity(0, size, home);
	}
	CPU_FREE(home);
	CPU_FREE(one);
	/* One that came or went meanwhile: the slower way is sure. */
	return visited > 0 && visited == online && online == sysconf(_SC_NPROCESSORS_ONLN);
}

static void wait_for_grace(napi_env env, void *data)
{
	(void)env;
	struct grace *grace = data;

	if (visit_all_cpus())
		return;
	/* kernel/sched/membarrier.c: MEMBARRIER_CMD_GLOBAL is synchronize_rcu(). */
	grace->error = syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0 ? errno : 0;
}

static void tell(napi_env env, napi_status status, void *data)
{
	struct grace *grace = data;
	napi_value done = NULL, global, argument;
	napi_get_global(env, &global);
	napi_get_null(env, &argument);
	if (grace->done)
		napi_get_reference_value(env, grace->done, &done);
	if (status == napi_ok && grace->error)
		argument = make_failure(env, grace->error, NULL, "wait for an RCU grace period");
	if (grace->done)
		napi_delete_reference(env, grace->done);
	napi_delete_async_work(env, grace->work);
	free(grace);
	if (done && status == napi_ok)
		napi_call_function(env, global, done, 1, &argument, NULL);
}

static void start(napi_env env, napi_value done, napi_async_execute_callback execute, const char *name)
{
	struct grace *grace = calloc(1, sizeof(*grace));
	if (!grace) {
		fail(env, ENOMEM, NULL, "wait for an RCU grace period");
		return;
	}
	if (done)
		napi_create_reference(env, done, 1, &grace->done);
	napi_create_async_work(env, NULL, make_text(env, name), execute, tell, grace, &grace->work);
	napi_queue_async_work(env, grace->work);
}

/* membarrier(done) */
static napi_value membarrier(napi_env env, napi_callback_info info)
{
	start(env, get_args(env, info).at[0], wait_for_grace, "heddle:membarrier");
	return NULL;
}

static void nothing(napi_env env, void *data)
{
	(void)env, (void)data;
}

static const struct method methods[] = {
	{ "membarrier", membarrier },
};

bool register_grace(napi_env env, napi_value exports)
{
	/*
	 * libuv starts its worker threads at the first job, and a new thread stays in the network namespace of the thread
	 * that made it. Starting them now keeps them at home when the first job is queued inside `inNamespace`.
	 */
	start(env, NULL, nothing, "heddle:start-workers");
	return add_methods(env, exports, methods, sizeof(methods) / sizeof(methods[0]));
}
