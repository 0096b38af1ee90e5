/*
 * The consumer's side of a BPF ring buffer (Documentation/bpf/ringbuf.rst): one page with our position, one with the
 * producers', then the data mapped twice in a row, so that no record is ever split.
 */
#include "heddle.h"
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ring {
	uint64_t *consumer;
	uint64_t *producer;
	const char *data;
	size_t size, page;
};

static void ring_unmap(struct ring *ring)
{
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->producer)
		munmap(ring->producer, ring->page + 2 * ring->size);
	ring->consumer = ring->producer = NULL;
}

static void ring_free(napi_env env, void *data, void *hint)
{
	(void)env, (void)hint;
	ring_unmap(data);
	free(data);
}

static struct ring *ring_of(napi_env env, napi_value value)
{
	struct ring *ring = NULL;
	napi_get_value_external(env, value, (void **)&ring);
	return ring && ring->consumer ? ring : NULL;
}

/* ringOpen(fd, bytes) */
static napi_value ring_open(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	int fd = get_int(env, args.at[0]);
	struct ring *ring = calloc(1, sizeof(*ring));
	if (!ring)
		return fail(env, ENOMEM, NULL, "open the ring buffer");
	ring->size = (uint32_t)get_int(env, args.at[1]);
	ring->page = sysconf(_SC_PAGESIZE);
	void *consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	void *producer = consumer == MAP_FAILED ?
				 MAP_FAILED :
				 mmap(NULL, ring->page + 2 * ring->size, PROT_READ, MAP_SHARED, fd, ring->page);
	int error = errno;
	ring->consumer = consumer == MAP_FAILED ? NULL : consumer;
	if (producer == MAP_FAILED) {
		ring_free(env, ring, NULL);
		return fail(env, error, NULL, "map the ring buffer");
	}
	ring->producer = producer;
	ring->data = (const char *)producer + ring->page;
	napi_value result;
	napi_create_external(env, ring, ring_free, NULL, &result);
	return result;
}

/* ringRead(ring, out, limit): number of records copied */
static napi_value ring_read(napi_env env, napi_callback_info info)
{
	struct args args = get_args(env, info);
	struct ring *ring = ring_of(env, args.at[0]);
	size_t room, used = 0;
	char *out = get_bytes(env, args.at[1], &room);
	uint32_t limit = get_int(env, args.at[2]), count = 0;
	if (!ring)
		return fail(env, EBADF, NULL, "read the ring buffer: it is closed");
	/* Only we write the consumer's position. */
	uint64_t at = *ring->consumer;
	/* Pairs with the release of the producer's position by __bpf_ringbuf_reserve: headers up to it are there. */
	uint64_t end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	while (at < end && count < limit) {
		const char *record = ring->data + (at & (ring->size - 1));
		/* Pairs with the xchg of bpf_ringbuf_commit: without the busy bit the payload is there. */
		uint32_t header = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		if (header & BPF_RINGBUF_BUSY_BIT)
			break;
		uint32_t length = header & ~(uint32_t)(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		size_t padded = ((size_t)length + 7) & ~(size_t)7;
		if (!(header & BPF_RINGBUF_DISCARD_BIT)) {
			if (padded + BPF_RINGBUF_HDR_SZ > room - used) {
				if (count == 0)
					return fail(env, EMSGSIZE, NULL, "read a record of %u bytes from the ring buffer", length);
				break;
			}
			memcpy(out + used, &length, sizeof(length));
			memset(out + used + 4, 0, 4);
			memcpy(out + used + BPF_RINGBUF_HDR_SZ, record + BPF_RINGBUF_HDR_SZ, length);
			used += BPF_RINGBUF_HDR_SZ + padded;
			count++;
		}
		at += BPF_RINGBUF_HDR_SZ + padded;
	}
	/* The copies are done before producers may write over them. */
	__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	return make_int(env, count);
}

/* ringAvailable(ring): bytes */
static napi_value ring_available(napi_env env, napi_callback_info info)
{
	struct ring *ring = ring_of(env, get_args(env, info).at[0]);
	return make_int(env, ring ? __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - *ring->consumer : 0);
}

/* ringClose(ring) */
static napi_value ring_close(napi_env env, napi_callback_info info)
{
	struct ring *ring = ring_of(env, get_args(env, info).at[0]);
	if (ring)
		ring_unmap(ring);
	return NULL;
}

static const struct method methods[] = {
	{ "ringOpen", ring_open },
	{ "ringRead", ring_read },
	{ "ringAvailable", ring_available },
	{ "ringClose", ring_close },
};
REGISTER(register_ring, methods)
