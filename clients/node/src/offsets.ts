/**
 * Where each code point of a text begins, in UTF-16 units, and where the last one ends.
 *
 * Services count code points, JavaScript counts UTF-16 units: a character outside the basic plane, as `𠀀` or an emoji, is one of
 * the former and two of the latter. `text.slice(at[start], at[end])` is the range that a service means.
 */
export function utf16Offsets(text: string): number[] {
  const at = [0];
  let end = 0;
  // A string is iterated by code points.
  for (const character of text) {
    end += character.length;
    at.push(end);
  }
  return at;
}
