// The emoji to choose from, by group: each with the names that it is found by.
// Written by hand from Unicode's names; the operating system draws them.

export interface Emoji {
  readonly text: string;
  readonly name: string;
}

const GROUPS: Readonly<Record<string, string>> = {
  Faces:
    '😀 grinning happy smile|😃 smiling open mouth|😄 smiling open mouth and smiling eyes|😁 grinning smiling eyes|' +
    '😆 smiling open mouth and tightly-closed eyes|😅 smiling open mouth and cold sweat|😂 tears of joy laugh lol|' +
    '🤣 rolling on the floor laughing laugh lol|🥲 smiling tear|😊 smiling smiling eyes happy|😇 smiling halo|' +
    '🙂 slightly smiling|🙃 upside-down|😉 winking|😌 relieved|😍 smiling heart-shaped eyes love|' +
    '🥰 smiling smiling eyes and three hearts|😘 face throwing a kiss|😋 face savouring delicious food|' +
    '😛 stuck-out tongue|😜 stuck-out tongue and winking eye|🤪 grinning one large and one small eye|' +
    '🤨 one eyebrow raised|🧐 monocle|🤓 nerd|😎 smiling sunglasses|🤩 grinning star eyes|' +
    '🥳 party horn and party hat birthday|😏 smirking|😒 unamused|😞 disappointed|😔 pensive|😟 worried|😕 confused|' +
    '🙁 slightly frowning|😣 persevering|😖 confounded|😫 tired|😩 weary|🥺 pleading eyes|😢 crying sad|' +
    '😭 loudly crying sad|😤 look of triumph|😠 angry|😡 pouting angry|🤬 serious symbols covering mouth|' +
    '🤯 shocked exploding head|😳 flushed|🥵 overheated|🥶 freezing|😱 face screaming in fear|😨 fearful|' +
    '😰 open mouth and cold sweat|😥 disappointed but relieved|🤗 hugging|🤔 thinking hmm|' +
    '🤭 smiling smiling eyes and hand covering mouth|🤫 finger covering closed lips|😶 face without mouth|' +
    '😐 neutral|😑 expressionless|😬 grimacing|🙄 rolling eyes|😯 hushed|😮 open mouth wow surprised|😲 astonished|' +
    '🥱 yawning|😴 sleeping|🤤 drooling|😵 dizzy|🤐 zipper-mouth|🤢 nauseated|🤮 open mouth vomiting|🤧 sneezing|' +
    '😷 medical mask|🤒 thermometer|🤕 head-bandage|🤑 money-mouth|🤠 cowboy hat|😈 smiling horns|👻 ghost|💀 skull|' +
    '👽 extraterrestrial alien|🤖 robot|💩 pile of poo|🙈 see-no-evil monkey|🙉 hear-no-evil monkey|' +
    '🙊 speak-no-evil monkey',
  Hands:
    '👍 thumbs up yes ok like good|👎 thumbs down no dislike bad|👌 ok hand|🤌 pinched fingers|🤏 pinching hand|' +
    '🤞 hand with index and middle fingers crossed|🤟 i love you hand|🤘 sign of the horns|🤙 call me hand|' +
    '👈 white left pointing backhand index|👉 white right pointing backhand index|' +
    '👆 white up pointing backhand index|👇 white down pointing backhand index|👋 waving hand hello bye hi|' +
    '🤚 raised back of hand|🖐️ raised hand with fingers splayed|✋ raised hand|👏 clapping hands bravo|' +
    '🙌 person raising both hands in celebration|👐 open hands|🤝 handshake|' +
    '🙏 person with folded hands please thanks pray|💪 flexed biceps|🫶 heart hands|🤲 palms up together|' +
    '✊ raised fist|👊 fisted hand|💅 nail polish|👀 eyes look see|🧠 brain|🫂 people hugging|' +
    '🙋 happy person raising one hand|🤷 shrug|🤦 face palm|💁 information desk person|🙅 no good gesture|' +
    '🙆 ok gesture|🏃 runner|💃 dancer|🕺 man dancing',
  Hearts:
    '❤️ red heart love|🧡 orange heart|💛 yellow heart|💚 green heart|💙 blue heart|💜 purple heart|🖤 black heart|' +
    '🤍 white heart|🤎 brown heart|💔 broken heart|💕 two hearts|💞 revolving hearts|💓 beating heart|' +
    '💗 growing heart|💖 sparkling heart|💘 heart with arrow|💝 heart with ribbon|💯 hundred points symbol hundred|' +
    '💢 anger symbol|💥 collision symbol|💫 dizzy symbol|💦 splashing sweat symbol|💤 sleeping symbol|' +
    '💬 speech balloon|🔥 fire great hot|✨ sparkles|⭐ white medium star|🌟 glowing star|⚡ high voltage|' +
    '🎉 party popper congratulations hooray|🎊 confetti ball|🎈 balloon|🎁 wrapped present|🏆 trophy|' +
    '🥇 first place medal',
  Nature:
    '🐶 dog|🐱 cat|🐭 mouse|🐰 rabbit|🦊 fox|🐻 bear|🐼 panda|🐨 koala|🐯 tiger|🦁 lion|🐮 cow|🐷 pig|🐸 frog|🐵 monkey|' +
    '🐔 chicken|🐧 penguin|🐦 bird|🦉 owl|🐝 honeybee|🦋 butterfly|🐌 snail|🐢 turtle|🐍 snake|🐙 octopus|🐬 dolphin|' +
    '🐳 spouting whale|🦈 shark|🐘 elephant|🌵 cactus|🌲 evergreen tree|🌴 palm tree|🌱 seedling|🌿 herb|' +
    '🍀 four leaf clover|🍂 fallen leaf|🌷 tulip|🌹 rose|🌻 sunflower|🌸 cherry blossom|🌍 earth globe europe-africa|' +
    '🌙 crescent moon|☀️ black sun with rays|🌤️ white sun with small cloud|🌧️ cloud with rain|' +
    '⛄ snowman without snow|🌈 rainbow|🌊 water wave',
  Food:
    '🍎 red apple|🍐 pear|🍊 tangerine|🍋 lemon|🍌 banana|🍉 watermelon|🍇 grapes|🍓 strawberry|🍒 cherries|🍑 peach|' +
    '🥭 mango|🍍 pineapple|🥥 coconut|🥝 kiwifruit|🍅 tomato|🥑 avocado|🥦 broccoli|🥕 carrot|🌽 ear of maize|🥔 potato|' +
    '🍞 bread|🧀 cheese wedge|🥚 egg|🍳 cooking|🥞 pancakes|🥓 bacon|🍔 hamburger|🍟 french fries|🍕 slice of pizza|' +
    '🌭 hot dog|🥪 sandwich|🌮 taco|🥗 green salad|🍝 spaghetti|🍜 steaming bowl|🍣 sushi|🍚 cooked rice|' +
    '🍦 soft ice cream|🍩 doughnut|🍪 cookie|🎂 birthday cake|🍰 shortcake|🍫 chocolate bar|🍬 candy|🍿 popcorn|' +
    '☕ hot beverage break|🍵 teacup without handle|🍺 beer mug cheers|🍻 clinking beer mugs|🥂 clinking glasses|' +
    '🍷 wine glass|🍸 cocktail glass',
  Things:
    '⚽ soccer ball|🏀 basketball and hoop|🏈 american football|🎾 tennis racquet and ball|🎲 game die|🎯 direct hit|' +
    '🎮 video game|🎸 guitar|🎹 musical keyboard|🎤 microphone|🎧 headphone|🎬 clapper board|📷 camera|' +
    '💻 personal computer|📱 mobile phone|⌚ watch|💡 electric light bulb idea|🔦 electric torch|📚 books|✏️ pencil|' +
    '📌 pushpin|📎 paperclip|🔑 key|🔒 lock|🔨 hammer|🔧 wrench|💊 pill|🚗 automobile|🚕 taxi|🚌 bus|🚲 bicycle|🚆 train|' +
    '✈️ airplane|🚀 rocket launch ship|⛵ sailboat|🏠 house building|🏢 office building|🏖️ beach with umbrella|' +
    '⛺ tent|🗺️ world map|⏰ alarm clock|⏳ hourglass with flowing sand|📅 calendar|📈 chart with upwards trend|' +
    '📉 chart with downwards trend|💰 money bag|💳 credit card|✉️ envelope|📦 package|🛒 shopping trolley|🔔 bell',
  Signs:
    '✅ white heavy check mark done yes|❌ cross mark no wrong|❓ black question mark ornament|' +
    '❗ heavy exclamation mark symbol|➕ heavy plus|➖ heavy minus|✔️ heavy check mark|✖️ heavy multiplication x|' +
    '⚠️ warning|🚫 no entry|🆗 squared ok|🆕 squared new|🔴 large red circle|🟠 large orange circle|' +
    '🟡 large yellow circle|🟢 large green circle|🔵 large blue circle|🟣 large purple circle|' +
    '⚫ medium black circle|⚪ medium white circle|▶️ black right-pointing triangle|⏸️ double vertical bar|' +
    '⏹️ black square for stop|🔁 clockwise rightwards and leftwards open circle arrows|' +
    '🔍 left-pointing magnifying glass|♻️ black universal recycling symbol|➡️ black rightwards arrow|' +
    '⬅️ leftwards black arrow|⬆️ upwards black arrow|⬇️ downwards black arrow',
};

export const EMOJI: readonly (readonly [group: string, list: readonly Emoji[]])[] = Object.entries(GROUPS).map(
  ([group, text]) => [group, text.split('|').map(emojiOf)],
);

/** For a quick answer. */
export const QUICK = ['👍', '❤️', '😂', '😮', '😢', '🙏'] as const;

/** Those whose names begin a word with each word of the text. */
export function findEmoji(text: string): readonly Emoji[] {
  const words = text.toLowerCase().trim().split(/\s+/).filter(Boolean);
  const all = EMOJI.flatMap(([, list]) => list);
  return all.filter(({ name }) => words.every((word) => ` ${name}`.includes(` ${word}`)));
}

function emojiOf(entry: string): Emoji {
  const at = entry.indexOf(' ');
  return { text: entry.slice(0, at), name: entry.slice(at + 1) };
}
