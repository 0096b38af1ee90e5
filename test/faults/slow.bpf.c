// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The data plane as it is, except that looking an end up takes a fifth of a millisecond: what can go wrong between reading
 * the generation and using its tables then does so at nearly every commit, not once in a hundred thousand packets.
 */
#include "deliver.h"
#include "fragment.h"

#define PAUSE_NS 200000u

/* Not static, so that it is verified once; few enough turns for that. */
__noinline int pause_for_tests(__u32 nanoseconds)
{
	__u64 until = bpf_ktime_get_ns() + nanoseconds;

	for (int i = 0; i < 8000; i++)
		if (bpf_ktime_get_ns() > until)
			break;
	return 0;
}

#define resolve_end(...) (pause_for_tests(PAUSE_NS), resolve_end(__VA_ARGS__))

#include "../../bpf/prog/heddle.bpf.c"
