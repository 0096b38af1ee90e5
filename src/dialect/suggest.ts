/** The known word that `found` most likely was meant to be, if one is near: other case, or a few letters off. */
export function nearestWord(found: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(found.length / 3)) + 1
  for (const word of known) {
    if (word.toLowerCase() === found.toLowerCase()) return word
    const distance = editDistance(found.toLowerCase(), word.toLowerCase(), bestDistance)
    if (distance < bestDistance && distance < word.length) {
      best = word
      bestDistance = distance
    }
  }
  return best
}

/** Letters to insert, delete or replace to get from `a` to `b` (Levenshtein); any number ≥ `limit` once it cannot be less. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? limit
}
