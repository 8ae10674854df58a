/**
 * Characters that readers take for ASCII but that Unicode's compatibility decomposition does not turn into it. The idea
 * is that of Unicode Technical Standard 39 (confusables); the table is our own and holds only the lookalikes of letters
 * and of the few signs that the normaliser cares about, after decomposition and lower-casing.
 */

const lookalikes: Readonly<Record<string, string>> = {
  a: 'αаɑᴀ🅐🅰⍺ᗅꭺ',
  b: 'вьʙбß🅑🅱ᏼᖯ',
  c: 'сϲᴄ🅒🅲ⅽ¢ꮯ',
  d: 'ԁɗđᴅ🅓🅳ꓒᑯ',
  e: 'еεєᴇɛ🅔🅴℮ҽ€',
  f: 'ғƒꜰ🅕🅵ϝ',
  g: 'ɡɢցԍ🅖🅶',
  h: 'һнʜհħ🅗🅷',
  i: 'іιıɪɩ🅘🅸ӏⲓ',
  j: 'јϳᴊյ🅙🅹',
  k: 'кκᴋ🅚🅺ҡƙ',
  l: 'ʟłⅼℓ🅛🅻ɭ',
  m: 'мᴍ🅜🅼ⅿ',
  n: 'пηոɴŋ🅝🅽',
  o: 'оοσօøᴏ🅞🅾ө',
  p: 'рρᴘ🅟🅿þ',
  q: 'ԛգ🅠🆀զ',
  r: 'гʀɾ🅡🆁яᴦ',
  s: 'ѕꜱʂ🅢🆂ꮪ§',
  t: 'тτᴛŧ🅣🆃',
  u: 'υսᴜʋ🅤🆄ц',
  v: 'νѵᴠ🅥🆅ⅴ',
  w: 'ωшԝᴡ🅦🆆ѡ₩',
  x: 'хχ🅧🆇ⅹ×',
  y: 'уγүʏ🅨🆈ყ¥',
  z: 'ᴢʐƶ🅩🆉',
  "'": '’‘ʼʹ',
  '.': '·•∙⋅',
}

const table = new Map<number, number>()
for (const [ascii, characters] of Object.entries(lookalikes)) {
  for (const character of characters) table.set(character.codePointAt(0) ?? 0, ascii.charCodeAt(0))
}

/** The ASCII character that `codePoint` passes for, or `codePoint` itself. */
export function lookalikeOf(codePoint: number): number {
  return table.get(codePoint) ?? codePoint
}
