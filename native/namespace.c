/* Network namespaces and mounts. */
#include "heddle.h"
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

struct making {
	const char *path;
	const char *step;
	int error;
};

static int bring_up_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &request);
	int error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return result;
}

/* Runs on a thread of its own, which ends in the new namespace; only the mount keeps it. */
static void *make(void *data)
{
	struct making *making = data;
	int fd = -1;
	bool made = false;
	making->step = "make";
	if (unshare(CLONE_NEWNET) < 0)
		goto out;
	making->step = "bring up lo of";
	if (bring_up_loopback() < 0)
		goto out;
	making->step = "make the file of";
	fd = open(making->path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		goto out;
	close(fd);
	making->step = "mount";
	made = mount("/proc/thread-self/ns/net", making->path, NULL, MS_BIND, NULL) == 0;
out:
	making->error = made ? 0 : errno;
	if (fd >= 0 && !made)
		unlink(making->path);
	return NULL;
}

/* createNamespace(path) */
static napi_value create_namespace(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char path[4096];
	get_text(env, args.at[0], path, sizeof(path));
	struct making making = { .path = path };
	pthread_t thread;
	int error = pthread_create(&thread, NULL, make, &making);
	if (error)
		return fail(env, error, NULL, "start a thread to make a network namespace");
	pthread_join(thread, NULL);
	return making.error ? fail(env, making.error, NULL, "%s the network namespace at %s", making.step, path) : NULL;
}

/* setNamespace(fd) */
static napi_value set_namespace(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	return setns(get_int(env, args.at[0]), CLONE_NEWNET) < 0 ? fail(env, errno, NULL, "enter the network namespace") : NULL;
}

/* mount(source, path, type, flags, data) */
static napi_value mount_path(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char source[4096], path[4096], type[64], data[256];
	get_text(env, args.at[0], source, sizeof(source));
	get_text(env, args.at[1], path, sizeof(path));
	get_text(env, args.at[2], type, sizeof(type));
	get_text(env, args.at[4], data, sizeof(data));
	int result = mount(source, path, type, (uint32_t)get_int(env, args.at[3]), data);
	return result < 0 ? fail(env, errno, NULL, "mount %s at %s", type, path) : NULL;
}

/* unmount(path) */
static napi_value unmount_path(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char path[4096];
	get_text(env, args.at[0], path, sizeof(path));
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? fail(env, errno, NULL, "unmount %s", path) : NULL;
}

static const struct method methods[] = {
	{ "createNamespace", create_namespace },
	{ "setNamespace", set_namespace },
	{ "mount", mount_path },
	{ "unmount", unmount_path },
};
REGISTER(register_namespace, methods)
