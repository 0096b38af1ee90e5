/* Loading of a whole BPF object by libbpf: constants, entries, pins, inner maps. */
#include "heddle.h"
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The largest log that every kernel takes; pages that stay untouched cost nothing. */
#define VERIFIER_LOG_BYTES (UINT32_MAX >> 8)
/* How much of its end an error carries. */
#define LOG_TAIL 4096
#define TALK_BYTES 2048
#define NAME_BYTES 128

struct load {
	napi_env env;
	napi_value request;
	char file[4096];
	struct bpf_object *object;
	char *verifier_log;
	/* Template of the inner maps, kept since libbpf forgets it while loading. */
	struct {
		bool wanted;
		char outer[NAME_BYTES];
		uint32_t count, type, key_size, value_size, entries, flags, key_type, value_type;
		char name[NAME_BYTES];
	} inner;
};

/* What libbpf said during the load. One load at a time: all calls come from the main thread. */
static char talk[TALK_BYTES];

static int listen_to_libbpf(enum libbpf_print_level level, const char *format, va_list list)
{
	size_t used = strlen(talk);
	if (level == LIBBPF_WARN && used < sizeof(talk) - 1)
		vsnprintf(talk + used, sizeof(talk) - used, format, list);
	return 0;
}

/* Throws with the end of the verifier's log and with libbpf's own words. */
static bool refuse(struct load *load, int error, const char *operation)
{
	char log[LOG_TAIL + TALK_BYTES + 2] = "";
	size_t length = load->verifier_log ? strnlen(load->verifier_log, VERIFIER_LOG_BYTES) : 0;
	const char *tail = length > LOG_TAIL ? load->verifier_log + length - LOG_TAIL : load->verifier_log;
	snprintf(log, sizeof(log), "%s%s%s", length ? tail : "", length ? "\n" : "", talk);
	fail(load->env, error, log, "%s %s", operation, load->file);
	return false;
}

static napi_value property(struct load *load, napi_value object, const char *key)
{
	napi_value value = NULL;
	napi_get_named_property(load->env, object, key, &value);
	return value;
}

/* Element [i][j] of an array of pairs. */
static napi_value pair(struct load *load, napi_value list, uint32_t i, uint32_t j)
{
	napi_value entry, value;
	napi_get_element(load->env, list, i, &entry);
	napi_get_element(load->env, entry, j, &value);
	return value;
}

static bool open_object(struct load *load)
{
	napi_env env = load->env;
	get_text(env, property(load, load->request, "file"), load->file, sizeof(load->file));
	void *log = mmap(NULL, VERIFIER_LOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	load->verifier_log = log == MAP_FAILED ? NULL : log;
	LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = load->verifier_log,
		    .kernel_log_size = load->verifier_log ? VERIFIER_LOG_BYTES : 0);
	load->object = bpf_object__open_file(load->file, &options);
	return load->object ? true : refuse(load, errno, "open the BPF object in");
}

/* Writes one variable of .rodata before the load; its place comes from the BTF of the section. */
static bool set_constant(struct load *load, const char *name, const void *value, size_t length)
{
	const struct btf *btf = bpf_object__btf(load->object);
	struct bpf_map *map;
	int section = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -ENOENT;
	size_t size = 0;
	char *data = NULL;
	bpf_object__for_each_map(map, load->object) {
		const char *map_name = bpf_map__name(map);
		size_t end = strlen(map_name);
		if (bpf_map__is_internal(map) && end >= 7 && !strcmp(map_name + end - 7, ".rodata"))
			data = (char *)bpf_map__initial_value(map, &size);
	}
	if (section > 0 && data) {
		const struct btf_type *type = btf__type_by_id(btf, section);
		const struct btf_var_secinfo *variable = btf_var_secinfos(type);
		for (int i = 0; i < btf_vlen(type); i++, variable++) {
			const struct btf_type *of = btf__type_by_id(btf, variable->type);
			if (strcmp(btf__name_by_offset(btf, of->name_off), name))
				continue;
			if (variable->size != length || variable->offset + length > size) {
				snprintf(talk, sizeof(talk), "the constant %s has %u bytes, %zu were given", name, variable->size,
					 length);
				return refuse(load, EINVAL, "set a constant of");
			}
			memcpy(data + variable->offset, value, length);
			return true;
		}
	}
	snprintf(talk, sizeof(talk), "there is no constant %s in .rodata", name);
	return refuse(load, ENOENT, "set a constant of");
}

static bool set_constants(struct load *load)
{
	napi_value list = property(load, load->request, "constants");
	uint32_t count = 0;
	napi_get_array_length(load->env, list, &count);
	for (uint32_t i = 0; i < count; i++) {
		char name[NAME_BYTES];
		size_t length;
		get_text(load->env, pair(load, list, i, 0), name, sizeof(name));
		void *value = get_bytes(load->env, pair(load, list, i, 1), &length);
		if (!set_constant(load, name, value, length))
			return false;
	}
	return true;
}

static bool set_entries(struct load *load)
{
	napi_value list = property(load, load->request, "entries");
	uint32_t count = 0;
	napi_get_array_length(load->env, list, &count);
	for (uint32_t i = 0; i < count; i++) {
		char name[NAME_BYTES];
		get_text(load->env, pair(load, list, i, 0), name, sizeof(name));
		struct bpf_map *map = bpf_object__find_map_by_name(load->object, name);
		int error = map ? bpf_map__set_max_entries(map, get_int(load->env, pair(load, list, i, 1))) : -ENOENT;
		if (error) {
			snprintf(talk, sizeof(talk), "entries of the map %s", name);
			return refuse(load, -error, "set the entries of a map of");
		}
	}
	return true;
}

/* Asks the caller for the pin path of every map that is not a section of data. */
static bool set_pins(struct load *load)
{
	napi_env env = load->env;
	napi_value ask = property(load, load->request, "pins");
	struct bpf_map *map;
	bpf_object__for_each_map(map, load->object) {
		if (bpf_map__is_internal(map))
			continue;
		napi_value name = make_text(env, bpf_map__name(map)), answer = NULL;
		if (napi_call_function(env, load->request, ask, 1, &name, &answer) != napi_ok)
			return false;
		if (is_nullish(env, answer))
			continue;
		char path[4096];
		get_text(env, answer, path, sizeof(path));
		int error = bpf_map__set_pin_path(map, path);
		if (error)
			return refuse(load, -error, "set a pin path for");
	}
	return true;
}

/* Remembers what the inner maps of the request's array of maps look like. */
static bool read_template(struct load *load)
{
	napi_value inner = property(load, load->request, "inner");
	if (is_nullish(load->env, inner))
		return true;
	get_text(load->env, property(load, inner, "outer"), load->inner.outer, sizeof(load->inner.outer));
	struct bpf_map *outer = bpf_object__find_map_by_name(load->object, load->inner.outer);
	struct bpf_map *template = outer ? bpf_map__inner_map(outer) : NULL;
	if (!template) {
		snprintf(talk, sizeof(talk), "%s is no array of maps with a template in `values`", load->inner.outer);
		return refuse(load, EINVAL, "read the template of the inner maps of");
	}
	uint32_t entries = get_int(load->env, property(load, inner, "entries"));
	load->inner.wanted = true;
	load->inner.count = get_int(load->env, property(load, inner, "count"));
	load->inner.entries = entries ? entries : bpf_map__max_entries(template);
	load->inner.type = bpf_map__type(template);
	load->inner.key_size = bpf_map__key_size(template);
	load->inner.value_size = bpf_map__value_size(template);
	load->inner.flags = bpf_map__map_flags(template);
	load->inner.key_type = bpf_map__btf_key_type_id(template);
	load->inner.value_type = bpf_map__btf_value_type_id(template);
	snprintf(load->inner.name, sizeof(load->inner.name), "%s", bpf_map__name(template));
	return true;
}

/*
 * Makes the inner maps that are missing: all of them for a new outer map, none for a whole pinned one, the rest after a
 * crash in between. They carry the template's BTF: Linux 6.1 wants it for bpf_for_each_map_elem.
 */
static bool fill_inner(struct load *load)
{
	if (!load->inner.wanted)
		return true;
	int outer = bpf_object__find_map_fd_by_name(load->object, load->inner.outer);
	for (uint32_t i = 0; i < load->inner.count; i++) {
		uint32_t id;
		if (!bpf_map_lookup_elem(outer, &i, &id))
			continue;
		LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = load->inner.flags,
			    .btf_fd = bpf_object__btf_fd(load->object), .btf_key_type_id = load->inner.key_type,
			    .btf_value_type_id = load->inner.value_type);
		int fd = bpf_map_create(load->inner.type, load->inner.name, load->inner.key_size, load->inner.value_size,
					load->inner.entries, &options);
		int error = fd < 0 ? fd : bpf_map_update_elem(outer, &i, &fd, BPF_ANY);
		if (fd >= 0)
			close(fd);
		if (error)
			return refuse(load, -error, "make the inner maps of");
	}
	return true;
}

/* Adds {name, fd} with a descriptor of our own to the list. */
static bool add_part(struct load *load, napi_value list, const char *name, int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return refuse(load, errno, "keep a descriptor of");
	uint32_t at = 0;
	napi_value part;
	napi_create_object(load->env, &part);
	set_text(load->env, part, "name", name);
	set_int(load->env, part, "fd", own);
	napi_get_array_length(load->env, list, &at);
	napi_set_element(load->env, list, at, part);
	return true;
}

static napi_value list_parts(struct load *load)
{
	napi_value result, programs, maps;
	struct bpf_program *program;
	struct bpf_map *map;
	napi_create_object(load->env, &result);
	napi_create_array(load->env, &programs);
	napi_create_array(load->env, &maps);
	bpf_object__for_each_program(program, load->object) {
		if (bpf_program__fd(program) >= 0 &&
		    !add_part(load, programs, bpf_program__name(program), bpf_program__fd(program)))
			return NULL;
	}
	bpf_object__for_each_map(map, load->object) {
		if (!bpf_map__is_internal(map) && bpf_map__fd(map) >= 0 &&
		    !add_part(load, maps, bpf_map__name(map), bpf_map__fd(map)))
			return NULL;
	}
	napi_set_named_property(load->env, result, "programs", programs);
	napi_set_named_property(load->env, result, "maps", maps);
	return result;
}

static bool load_object(struct load *load)
{
	int error = bpf_object__load(load->object);
	return error ? refuse(load, -error, "load the BPF object in") : true;
}

/* bpfLoad(request): {programs: [{name, fd}], maps: [{name, fd}]} */
static napi_value bpf_load(napi_env env, napi_callback_info info)
{
	struct load load = { .env = env, .request = get_args(env, info).at[0] };
	napi_value result = NULL;
	talk[0] = 0;
	libbpf_print_fn_t before = libbpf_set_print(listen_to_libbpf);
	if (open_object(&load) && set_constants(&load) && set_entries(&load) && set_pins(&load) && read_template(&load) &&
	    load_object(&load) && fill_inner(&load))
		result = list_parts(&load);
	bpf_object__close(load.object);
	libbpf_set_print(before);
	if (load.verifier_log)
		munmap(load.verifier_log, VERIFIER_LOG_BYTES);
	return result;
}

static const struct method methods[] = {
	{ "bpfLoad", bpf_load },
};
REGISTER(register_object, methods)
