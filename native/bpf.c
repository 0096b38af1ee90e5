/* Maps, programs and links by descriptor: bpf(2), through libbpf where it has the command. */
#include "heddle.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What <linux/bpf.h> of Debian 12 lacks: BPF_F_BEFORE (Linux 6.6). */
#define PLACE_FIRST (1U << 3)
/* ENOTSUPP: the map type has no batch operations. */
#define KERNEL_ENOTSUPP 524
#define MAX_QUERY 64

static bool no_batch(int error)
{
	return error == KERNEL_ENOTSUPP || error == EOPNOTSUPP;
}

/* bpfObjectGet(path): fd */
static napi_value object_get(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char path[4096];
	get_text(env, args.at[0], path, sizeof(path));
	int fd = bpf_obj_get(path);
	return fd < 0 ? fail(env, -fd, NULL, "open the pin %s", path) : make_int(env, fd);
}

/* bpfObjectPin(fd, path) */
static napi_value object_pin(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char path[4096];
	get_text(env, args.at[1], path, sizeof(path));
	int error = bpf_obj_pin(get_int(env, args.at[0]), path);
	return error ? fail(env, -error, NULL, "pin at %s", path) : NULL;
}

/* mapCreate(type, name, keySize, valueSize, entries, flags): fd */
static napi_value map_create(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	char name[64];
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = (uint32_t)get_int(env, args.at[5]));
	get_text(env, args.at[1], name, sizeof(name));
	int fd = bpf_map_create(get_int(env, args.at[0]), name, get_int(env, args.at[2]), get_int(env, args.at[3]),
				get_int(env, args.at[4]), &options);
	return fd < 0 ? fail(env, -fd, NULL, "create the map %s", name) : make_int(env, fd);
}

/* mapInfo(fd) */
static napi_value map_info(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	struct bpf_map_info map = {};
	uint32_t size = sizeof(map);
	int error = bpf_obj_get_info_by_fd(get_int(env, args.at[0]), &map, &size);
	if (error)
		return fail(env, -error, NULL, "read what the map is");
	napi_value result;
	napi_create_object(env, &result);
	set_int(env, result, "id", map.id);
	set_int(env, result, "type", map.type);
	set_text(env, result, "name", map.name);
	set_int(env, result, "keySize", map.key_size);
	set_int(env, result, "valueSize", map.value_size);
	set_int(env, result, "maxEntries", map.max_entries);
	set_int(env, result, "flags", map.map_flags);
	return result;
}

/* mapById(id): fd */
static napi_value map_by_id(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	uint32_t id = get_int(env, args.at[0]);
	int fd = bpf_map_get_fd_by_id(id);
	return fd < 0 ? fail(env, -fd, NULL, "open the map with id %u", id) : make_int(env, fd);
}

/* mapLookup(fd, key, value): whether it is there */
static napi_value map_lookup(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *key = get_bytes(env, args.at[1], &length), *value = get_bytes(env, args.at[2], &length);
	int error = bpf_map_lookup_elem(get_int(env, args.at[0]), key, value);
	if (error && error != -ENOENT)
		return fail(env, -error, NULL, "look up in the map");
	return make_bool(env, !error);
}

/* mapUpdate(fd, key, value, flags) */
static napi_value map_update(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *key = get_bytes(env, args.at[1], &length), *value = get_bytes(env, args.at[2], &length);
	int error = bpf_map_update_elem(get_int(env, args.at[0]), key, value, get_int(env, args.at[3]));
	return error ? fail(env, -error, NULL, "write to the map") : NULL;
}

/* mapDelete(fd, key): whether it was there */
static napi_value map_delete(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	int error = bpf_map_delete_elem(get_int(env, args.at[0]), get_bytes(env, args.at[1], &length));
	if (error && error != -ENOENT)
		return fail(env, -error, NULL, "delete from the map");
	return make_bool(env, !error);
}

/* mapNextKey(fd, key | null, next): false at the end */
static napi_value map_next_key(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	void *key = get_bytes(env, args.at[1], &length), *next = get_bytes(env, args.at[2], &length);
	int error = bpf_map_get_next_key(get_int(env, args.at[0]), key, next);
	if (error && error != -ENOENT)
		return fail(env, -error, NULL, "walk over the map");
	return make_bool(env, !error);
}

/* mapUpdateBatch(fd, keys, values, count, flags) */
static napi_value map_update_batch(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t keys_length, values_length;
	char *keys = get_bytes(env, args.at[1], &keys_length), *values = get_bytes(env, args.at[2], &values_length);
	int fd = get_int(env, args.at[0]);
	uint32_t wanted = get_int(env, args.at[3]), count = wanted;
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = (uint32_t)get_int(env, args.at[4]));
	int error = bpf_map_update_batch(fd, keys, values, &count, &options);
	if (error && no_batch(-error)) {
		size_t key_size = keys_length / wanted, value_size = values_length / wanted;
		for (count = 0, error = 0; count < wanted && !error; count++)
			error = bpf_map_update_elem(fd, keys + count * key_size, values + count * value_size, options.elem_flags);
	}
	return error ? fail(env, -error, NULL, "write %u entries to the map (%u were)", wanted, count) : NULL;
}

/* mapDeleteBatch(fd, keys, count): how many were there. The kernel stops at a key that is not: go on after it. */
static napi_value map_delete_batch(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t length;
	char *keys = get_bytes(env, args.at[1], &length);
	int fd = get_int(env, args.at[0]);
	uint32_t wanted = get_int(env, args.at[2]), at = 0, deleted = 0;
	size_t key_size = length / wanted;
	bool batches = true;
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	while (at < wanted) {
		uint32_t count = batches ? wanted - at : 0;
		int error = batches ? bpf_map_delete_batch(fd, keys + at * key_size, &count, &options) :
				      bpf_map_delete_elem(fd, keys + at * key_size);
		if (batches && error && no_batch(-error)) {
			batches = false;
			continue;
		}
		if (error && error != -ENOENT)
			return fail(env, -error, NULL, "delete %u entries from the map (%u were)", wanted, deleted);
		if (!batches)
			count = !error;
		deleted += count;
		at += count + (error == -ENOENT);
	}
	return make_int(env, deleted);
}

/* mapLookupBatch(fd, first, token, keys, values, count): n, or -1 - n at the end; 0: no room for one hash bucket */
static napi_value map_lookup_batch(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t token_length, length;
	char *token = get_bytes(env, args.at[2], &token_length);
	void *keys = get_bytes(env, args.at[3], &length), *values = get_bytes(env, args.at[4], &length);
	char next[512];
	uint32_t count = get_int(env, args.at[5]);
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	int error = bpf_map_lookup_batch(get_int(env, args.at[0]), get_bool(env, args.at[1]) ? NULL : token, next, keys,
					 values, &count, &options);
	if (error == -ENOSPC)
		return make_int(env, 0);
	if (error && error != -ENOENT)
		return fail(env, -error, NULL, "read the map");
	if (error == -ENOENT)
		return make_int(env, -1 - (int64_t)count);
	memcpy(token, next, token_length < sizeof(next) ? token_length : sizeof(next));
	return make_int(env, count);
}

static void unmap(napi_env env, void *data, void *hint)
{
	(void)env;
	munmap(data, (size_t)hint);
}

/* mapMemory(fd, bytes): ArrayBuffer over the map's own pages */
static napi_value map_memory(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int64_t wanted = 0;
	napi_get_value_int64(env, args.at[1], &wanted);
	size_t page = sysconf(_SC_PAGESIZE), size = ((size_t)wanted + page - 1) / page * page;
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, get_int(env, args.at[0]), 0);
	if (data == MAP_FAILED)
		return fail(env, errno, NULL, "map the memory of the map (%zu bytes)", size);
	napi_value buffer;
	if (napi_create_external_arraybuffer(env, data, wanted, unmap, (void *)size, &buffer) != napi_ok) {
		munmap(data, size);
		return fail(env, ENOTSUP, NULL, "hand the memory of the map to JavaScript");
	}
	return buffer;
}

/* possibleCpus() */
static napi_value possible_cpus(napi_env env, napi_callback_info info)
{
	(void)info;
	int count = libbpf_num_possible_cpus();
	return count < 0 ? fail(env, -count, NULL, "count the possible CPUs") : make_int(env, count);
}

/* programInfo(fd) */
static napi_value program_info(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	struct bpf_prog_info program = {};
	uint32_t size = sizeof(program);
	int error = bpf_obj_get_info_by_fd(get_int(env, args.at[0]), &program, &size);
	if (error)
		return fail(env, -error, NULL, "read what the program is");
	char tag[2 * BPF_TAG_SIZE + 1];
	for (int i = 0; i < BPF_TAG_SIZE; i++)
		snprintf(tag + 2 * i, 3, "%02x", program.tag[i]);
	napi_value result;
	napi_create_object(env, &result);
	set_int(env, result, "id", program.id);
	set_int(env, result, "type", program.type);
	set_text(env, result, "name", program.name);
	set_text(env, result, "tag", tag);
	return result;
}

/* programById(id): fd */
static napi_value program_by_id(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	uint32_t id = get_int(env, args.at[0]);
	int fd = bpf_prog_get_fd_by_id(id);
	return fd < 0 ? fail(env, -fd, NULL, "open the program with id %u", id) : make_int(env, fd);
}

/* programTestRun(fd, packet, context | null, out, repeat): {result, length, nanoseconds} */
static napi_value program_test_run(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	size_t packet_length, context_length, out_length;
	void *packet = get_bytes(env, args.at[1], &packet_length);
	void *context = get_bytes(env, args.at[2], &context_length);
	void *out = get_bytes(env, args.at[3], &out_length);
	/* Programs of type syscall know no packet: the kernel wants these empty. */
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet_length ? packet : NULL,
		    .data_size_in = packet_length, .data_out = out_length ? out : NULL, .data_size_out = out_length,
		    .ctx_in = context_length ? context : NULL, .ctx_size_in = context_length,
		    .repeat = get_int(env, args.at[4]));
	int error = bpf_prog_test_run_opts(get_int(env, args.at[0]), &options);
	if (error)
		return fail(env, -error, NULL, "run the program over a test packet of %zu bytes", packet_length);
	napi_value result;
	napi_create_object(env, &result);
	set_int(env, result, "result", options.retval);
	set_int(env, result, "length", options.data_size_out);
	set_int(env, result, "nanoseconds", options.duration);
	return result;
}

static long sys_bpf(int command, void *attributes, unsigned int size)
{
	return syscall(__NR_bpf, command, attributes, size);
}

/* linkCreate(program, ifindex, attachType): fd. TCX links are not in libbpf 1.1. First in line: nobody passes a packet before us. */
static napi_value link_create(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	/* The part of union bpf_attr for BPF_LINK_CREATE, up to the end of tcx. */
	struct {
		uint32_t program, ifindex, attach_type, flags;
		uint32_t relative, padding;
		uint64_t expected_revision;
	} attributes = {
		.program = get_int(env, args.at[0]),
		.ifindex = get_int(env, args.at[1]),
		.attach_type = get_int(env, args.at[2]),
		.flags = PLACE_FIRST,
	};
	long fd = sys_bpf(BPF_LINK_CREATE, &attributes, sizeof(attributes));
	return fd < 0 ? fail(env, errno, NULL, "attach the program to interface %u", attributes.ifindex) : make_int(env, fd);
}

/* linkUpdate(link, program) */
static napi_value link_update(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int error = bpf_link_update(get_int(env, args.at[0]), get_int(env, args.at[1]), NULL);
	return error ? fail(env, -error, NULL, "replace the program of the link") : NULL;
}

/* linkDetach(link) */
static napi_value link_detach(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int error = bpf_link_detach(get_int(env, args.at[0]));
	return error ? fail(env, -error, NULL, "detach the link") : NULL;
}

/* programQuery(ifindex, attachType): ids */
static napi_value program_query(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	uint32_t ids[MAX_QUERY];
	/* The part of union bpf_attr for BPF_PROG_QUERY, up to revision. */
	struct {
		uint32_t ifindex, attach_type, query_flags, attach_flags;
		uint64_t program_ids;
		uint32_t count, padding;
		uint64_t program_attach_flags, link_ids, link_attach_flags, revision;
	} attributes = {
		.ifindex = get_int(env, args.at[0]),
		.attach_type = get_int(env, args.at[1]),
		.program_ids = (uintptr_t)ids,
		.count = MAX_QUERY,
	};
	if (sys_bpf(BPF_PROG_QUERY, &attributes, sizeof(attributes)) < 0)
		return fail(env, errno, NULL, "list the programs of interface %u", attributes.ifindex);
	napi_value result;
	napi_create_array(env, &result);
	for (uint32_t i = 0; i < attributes.count && i < MAX_QUERY; i++)
		napi_set_element(env, result, i, make_int(env, ids[i]));
	return result;
}

static const struct method methods[] = {
	{ "bpfObjectGet", object_get },
	{ "bpfObjectPin", object_pin },
	{ "mapCreate", map_create },
	{ "mapInfo", map_info },
	{ "mapById", map_by_id },
	{ "mapLookup", map_lookup },
	{ "mapUpdate", map_update },
	{ "mapDelete", map_delete },
	{ "mapNextKey", map_next_key },
	{ "mapUpdateBatch", map_update_batch },
	{ "mapDeleteBatch", map_delete_batch },
	{ "mapLookupBatch", map_lookup_batch },
	{ "mapMemory", map_memory },
	{ "possibleCpus", possible_cpus },
	{ "programInfo", program_info },
	{ "programById", program_by_id },
	{ "programTestRun", program_test_run },
	{ "linkCreate", link_create },
	{ "linkUpdate", link_update },
	{ "linkDetach", link_detach },
	{ "programQuery", program_query },
};
REGISTER(register_bpf, methods)
