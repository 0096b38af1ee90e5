/** The known word that `found` most likely was meant to be, if one is near: other case, or a few letters off. */
export function nearestWord(found: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = mistakesIn(found) + 1
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

/** So many slips are likely in a word of this length; `icmp` is no misspelt `tcp`. */
function mistakesIn(word: string): number {
  if (word.length <= 4) return 1
  return word.length <= 8 ? 2 : Math.floor(word.length / 3)
}

/** Letters to insert, delete, replace or swap with the next to get from `a` to `b`; any number ≥ `limit` once it cannot be less. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let above: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swap = swapped ? (above[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(replace, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    above = row
    row = next
  }
  return row[b.length] ?? limit
}
