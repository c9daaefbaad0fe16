"""Lines that belong to a page and not to its text: navigation, cookie notices, sharing, copyright, log-in prompts.

A line goes when it is short and one of the patterns of its language says what it is, or when it is a bar of at least
four short labels of which most are words of navigation. Patterns say how such lines end, not only how they begin, so
that a sentence which mentions cookies, a step of a manual ("Log in to the server") and a line of a dialogue stay.
They continue the line rules of RefinedWeb (arXiv 2306.01116, appendix G.2) and what Chinese news pages carry.

A compiled pass over the bytes finds the few lines that begin as furniture begins, hold one of the marks that may stand
anywhere in it, or could be a bar; only these meet the patterns.
"""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

LONGEST = 160
"""characters up to which a line can be furniture"""

_PARTS = {
    "TERMS": r"terms (?:of (?:use|service)|(?:and|&) conditions)",
    "ITEMS": r"(?:posts?|articles?|stories|news|comments|reviews|details|info|information|results|photos|videos)",
    "TO_POST": r"(?:post|comment|reply|leave|vote|report|recommend|view|read|continue|save|follow|receive|your account)",
    "SITES": r"(?:facebook|twitter|pinterest|linkedin|instagram|whatsapp|youtube|reddit|e-?mail)",
    "NETWORKS": r"(?:新浪|腾讯|微博|微信|朋友圈|好友|qq|空间|豆瓣|人人网?|贴吧|知乎|facebook|twitter|x)",
    "LOG_IN": r"(?:登录|注册|登陆)",
    "PAGES": r"(?:上一篇|下一篇|上一页|下一页|返回首页|返回顶部|回到顶部)",
    "MARKS": r"(?:收藏|打印|点赞|举报|纠错)",
    "MEDIUM": r"(?:网|报|社|刊|杂志|新闻|电视台|客户端|公众号|微信|微博|在线|网络|综合|站)",
    "BYLINE": r"(?:来源|作者|记者|编辑|审核)",
}
"""parts of the patterns, by the name under which they stand there"""
_ENGLISH = r"""
skip to (?:main )?(?:content|navigation)
(?:we|this (?:web)?site|our (?:web)?site) uses? cookies(?:\b.*\b(?:you (?:accept|agree|consent)|your (?:browsing|visit|device|use)|our|experience|consent|policy|traffic)\b.*|\.?)
.*\bby continuing (?:to (?:use|browse).*)? ?you (?:accept|agree)\b.*
(?:please )?enable java ?script(?: in your (?:web )?browser)?(?: to .{1,60})?[.!]?
your browser (?:does not support|has disabled) java ?script\b.*
(?:copyright )?©(?: copyright)? .{0,60}all rights reserved\b.*
all rights reserved\.?
(?:TERMS|privacy policy|cookie policy)(?:\s*[|·•,]\s*(?:TERMS|privacy policy|cookie policy|contact(?: us)?|sitemap))*
(?:click|tap) here (?:to .{1,60}|for .{1,60})
(?:read|learn|see|view|load|show) more(?: (?:here|from this \w{1,9}|about (?:us|(?:our|this) .{1,30})|ITEMS(?: \(\d+\))?))?\s*(?:\.\.\.|…)?
(?:read|learn|see|view|load|show) more(?: .{1,40})?\s*(?:»|>+)
tweet|(?:share|follow us|share this)(?: (?:page|article|post|story))?(?:(?: (?:on|via))? ?:| via)?
(?:share|tweet|follow us|share this)(?: (?:page|article|post|story))?(?: (?:on|via|with)|:)?[ :]*SITES(?:[\s,/|&]+(?:and |or )?(?:SITES|x\b|@\S{1,20}|more\b))*(?: (?:to|for|like us on) .{1,50})?[.!]?
follow on SITES
(?:leave|post|add|write) a (?:comment|reply)(?: (?:below|here|cancel reply))?[.!]?(?: (?:you must be |please )?log(?:ged)? ?in.{0,40})?
(?:please )?log ?in(?: to TO_POST.{0,40}| or (?:register|sign ?up|join|create an account)\b.{0,40}|)\.?
you must be logged in(?: to TO_POST.{0,40}|)\.?
(?:sign|log)[ -]?(?:up|in|out)(?: (?:now|here|free|today)| for (?:free|our|e-?mail|an account)\b.{0,60}| for (?:\S+ ){0,5}(?:newsletters?|alerts|updates)\b.{0,40}| to (?:TO_POST|get|our)\b.{0,60}| with (?:google|apple|SITES))?[.!]?
register(?: (?:now|here|today|for free))?[.!]?
subscribe(?: (?:now|here|today|for free|via (?:rss|e-?mail))| for (?:a free|unlimited)\b.{0,40}| to our\b.{0,60}| to (?:\S+ ){0,4}(?:newsletters?|mailing list|blog|channel|feed|podcast|updates)\b.{0,40})?[.!]?
join our (?:newsletter|mailing list|community)\b.{0,60}
(?:related|recommended|popular|recent|similar|more) (?:posts?|articles?|stories|topics|links|news)\s*:?
more from (?:the web|this (?:author|site|category|section)|our .{1,20})\s*:?
you may (?:also like|(?:also )?be interested in)(?: (?:these|this)\b.{0,20})?\s*(?::|…|\.{3})?
(?:back|return|go) to (?:the )?(?:top|home(?:page)?|previous page)
(?:scroll )?to top
advertisement|sponsored(?: content)?|ads by \S+(?: \S+)?
(?:previous|next)(?: (?:post|article|page|story)\s*[:»«>→←]*|\s*[»«>→←]+)
(?:print|email|e-mail|download) this (?:page|article|post)
[0-9]+ (?:likes?|comments?|shares?|views?|replies|retweets?)
(?:items? in (?:your )?cart|add to cart|view cart)(?:[ :(]+[\d.,$€£]{1,9}\)?)?
"""
_CHINESE = r"""
(?:本站|本网站|我们).{0,8}(?:使用|采用)\s*cookies?(?:.{0,60}(?:您|你|体验|隐私|同意|接受).{0,60}|[。.]?)
.{0,40}(?:继续浏览|继续访问|继续使用).{0,10}(?:即表示|即视为|表示您|代表您).{0,60}
(?:版权所有|版权声明)(?:[\s:：©，,。/|]+.{0,60}|未经.{0,60}|)
(?:copyright\s*)?©[^。！？]{0,60}
.{0,30}未经(?:书面)?(?:授权|许可|允许).{0,10}(?:禁止|不得|严禁|请勿).{0,6}(?:转载|摘编|镜像|转贴).{0,20}
.{0,20}icp\s*(?:备|证)\s*\d+.{0,60}
.{0,20}公网安备\s*\d+.{0,40}
(?:免责声明|郑重声明)[:：].{0,120}
声明[:：](?:.{0,40}(?:本文|本网|本站|转载|版权|仅供参考).{0,90}|)
(?:责任编辑|责编|稿源)\s*[:：][^。！？；]{0,30}
(?:校对|通讯员)\s*[:：][^。！？；，]{0,8}
BYLINE\s*[:：][^。！？；]{1,20}[\s|/](?:编辑|审核|责任编辑|责编|校对|时间)\s*[:：][^。！？；]{0,30}
(?:(?:作者|记者)\s*[:：][^。！？；]{1,16}[\s|/]+)?来源\s*[:：](?:\s*[^。！？，；《]{0,16}MEDIUM(?:[\s|/]+[^。！？]{0,30})?)?
(?:分享|分享到|分享至|一键分享|转发到)\s*[:：]?(?:[\s、，,/|和]*NETWORKS)*
扫一扫|(?:扫一扫|扫码|长按).{0,16}(?:关注|公众号|识别|加群|手机看|手机打开|阅读全文|下载app|下载客户端).{0,24}
(?:关注|添加).{0,12}(?:公众号|官方账号|官方微博|官方微信)(?:[:：，,“「\s].{0,20}|查看.{0,6})?[。！!]?
关注(?:我们的?|.{0,4}网)?(?:微信|微博)(?:[:：，,“「\s].{0,20})?[。！!]?
(?:点击|下载|打开)[^（(。.，,]{0,8}(?:app|客户端)(?:[，,\s！!]?.{0,12}(?:体验|阅读|更多|精彩|更佳|收看|全文|原文).{0,12})?[。！!]?
(?:点击|查看|阅读|展开|加载)(?:此处|这里|下方|链接|查看|阅读|展开|加载|了解){0,2}(?:更多|全文|原文|详情)(?:精彩)?(?:内容|资讯|信息|新闻|评论|文章|视频|图片|跟贴)?\s*[>»…]*
(?:发表|发布|参与|我要)评论(?:\s.{0,30}|[（(:：].{0,10}|)|评论(?:\s*[（(]\d*[)）]|\s*\d{2,9})?
请先?LOG_IN[。！!]?|LOG_IN(?:\s*[/|]\s*LOG_IN)?
(?:请先?)?LOG_IN\s?(?:后|以|即可){1,2}(?:才能|可以|可|再)?(?:查看|阅读|评论|发表|回复|参与|关注)(?:评论|全文|更多|回复|内容|全部|完整|讨论|互动|原文|精彩){0,3}[。！!]?
PAGES(?:\s*[:：].{0,60}|(?:[\s|/]+(?:返回列表|PAGES))*\s*[>»]*)
返回列表[\s|/]+PAGES.{0,60}
(?:您|你)?(?:当前|现在)(?:的)?(?:所在)?位置\s*[:：](?:.{0,20}(?:首页|主页|[>»›]).{0,50}|)
(?:首页|主页)\s*[>»›]+
(?:首页|主页)(?:\s*[|>»/›]+\s*[^\s|>»/›，。；：！？]{1,12}){2,9}[\s>»›]*
(?:相关|推荐|热门|精彩|延伸)(?:阅读|文章|新闻|内容|推荐|链接|资讯)\s*[:：]?\s*(?:更多)?[>»]*
广告|赞助内容
收藏|点赞|举报|纠错|MARKS(?:\s*[|/\s]\s*(?:MARKS|分享|评论|保存|关闭)){1,6}
"""
_LABEL = r" ?[^\W\d_][^|>·•»›:;()=`\[\]{}<\n，。、；！？-]{0,22} ?"
_BAR = re.compile(rf"(?:{_LABEL}[|>·•»›]){{3,}}(?:{_LABEL})?[>»›]*$")
_HOME = frozenset({"home", "homepage", "首页", "主页", "网站首页"})
_NAVIGATION = """
home/homepage/about/about us/contact/contact us/news/blog/forum/forums/login/log in/logout/log out/sign in/sign up/register
join/join us/products/services/support/help/faq/search/sitemap/site map/privacy/privacy policy/terms/terms of use
terms of service/cookies/cookie policy/careers/jobs/press/shop/store/cart/my account/account/archive/archives/gallery
downloads/links/donate/subscribe/rss/feedback/advertise/advertising/sports/business/politics/entertainment/technology/tech
opinion/videos/photos/weather/lifestyle/more/menu/portfolio/pricing
首页/主页/网站首页/新闻/资讯/登录/登陆/注册/退出/关于/关于我们/联系/联系我们/帮助/帮助中心/搜索/网站地图/更多/产品/产品中心/服务
论坛/社区/博客/下载/招聘/加入我们/留言/财经/体育/娱乐/科技/汽车/房产/教育/军事/国际/国内/社会/视频/图片/直播/专题/时尚/健康/旅游
游戏/股票/评论/正文/新闻中心/公司新闻/行业动态/隐私政策/服务条款/广告服务
"""
"""Labels of navigation. What heads the columns of tables (name, time, team) is not among them."""


def _patterns(lines: str) -> list[str]:
    for name, part in _PARTS.items():
        lines = lines.replace(name, part)
    return [line for line in lines.split("\n") if line]


def _words(lines: str) -> list[str]:
    return [word for line in lines.split("\n") if line for word in line.split("/")]


PATTERNS = (*_patterns(_ENGLISH), *_patterns(_CHINESE))
"""regular expressions of whole lines, in lower case"""
_FURNITURE = re.compile(rf"(?:{'|'.join(f'(?:{pattern})' for pattern in PATTERNS)})\s*$")
_LABELS = frozenset(_words(_NAVIGATION))
# How the patterns begin; those that may begin in any way hold a mark, see `_mark`, or begin with a number.
_BEGINNINGS = """
skip to/we use/this site/this website/our site/our website/please/enable j/your browser
copyright/©/all rights/terms /privacy/cookie/click here/tap here/read more/learn more/see more/view more/load more
show more/share/follow/tweet/leave a/post a/add a/write a/you must/log/sign/subscribe/register/join our
related /recommended/popular /recent /similar /more /you may/back to/return to/go to/scroll to/to top/advertisement
sponsored/ads by/previous/next/print this/email this/e-mail this/download this/item/add to cart/view cart
本站/本网/我们/版权/免责/声明/郑重/责任/编辑/责编/来源/稿源/作者/记者/审核/校对/通讯/分享/一键/转发/扫一/扫码/长按/关注/添加
点击/下载/打开/查看/阅读/展开/加载/发表/发布/参与/我要/评论/请先/请登/请注/登录/注册/登陆/上一/下一/返回/回到/您当/您现/你当/你现
当前/现在/首页/主页/相关/推荐/热门/精彩/延伸/广告/赞助/收藏/打印/点赞/举报/纠错
"""


def is_furniture(line: str) -> bool:
    """Whether a line, white space around it aside, belongs to the page."""
    line = line.strip()
    if not line or len(line) > LONGEST:
        return False
    if not line.islower():  # ASCII alone is folded, as in the compiled pass
        line = line.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    return bool(_FURNITURE.match(line)) or _is_navigation(line)


def _is_navigation(line: str) -> bool:
    """Whether a line is a bar most of whose labels are words of navigation, or a trail from the home page to one.

    Other bars prove nothing: tables, unions of flags, menu paths, orders and names in Chinese look the same.
    """
    if not _BAR.match(line):
        return False
    line = line.rstrip(" >»›")
    labels = [label.strip() for label in re.split("[|>·•»›]", line)]
    if re.search("[>»›]", line):
        from_home = labels[0] in _HOME or labels[0].endswith("首页")
        return labels[-1] == "正文" or (from_home and labels[1] in _LABELS)
    return 2 * sum(label in _LABELS for label in labels) > len(labels)


def find_furniture(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(document, first byte, last byte + 1) of the lines of furniture of a batch, in order, without their line ends.

    Document i is the UTF-8 bytes data[offsets[i] : offsets[i + 1]]."""
    return [
        (document, first, last)
        for document, first, last in _candidates(data, offsets).tolist()
        if is_furniture(data[first:last].tobytes().decode("utf-8", "surrogatepass"))
    ]


def strip_furniture(text: str) -> str:
    """`text` without its lines of furniture; the same object where there is none."""
    data = text.encode("utf-8", "surrogatepass")
    found = find_furniture(np.frombuffer(data, np.uint8), np.array([0, len(data)]))
    if not found:
        return text
    kept, position = list[bytes](), 0
    for _, first, last in found:
        kept.append(data[position:first])
        position = last + 1
    rest = b"".join([*kept, data[position:]])
    if position > len(data) and rest:  # the last line went, and the end of the line before it with it
        rest = rest[:-1]
    return rest.decode("utf-8", "surrogatepass")


def _candidates(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    found = np.empty((1024, 3), np.int64)
    count = _find(data, offsets, found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        _find(data, offsets, found)
    return found[:count]


_HEAD_BYTES = 8


def _heads(beginnings: str) -> tuple[npt.NDArray[Any], ...]:
    """The first bytes of each beginning as a number, which bits of it count, where those of a first byte start, and
    which two bytes begin one."""
    found = sorted({word.encode()[:_HEAD_BYTES] for word in _words(beginnings)})
    values = [int.from_bytes(head.ljust(_HEAD_BYTES, b"\0"), "big") for head in found]
    masks = [int.from_bytes((b"\xff" * len(head)).ljust(_HEAD_BYTES, b"\0"), "big") for head in found]
    starts = np.searchsorted([head[0] for head in found], np.arange(257))
    pairs = np.zeros((256, 256), np.bool_)
    pairs[[head[0] for head in found], [head[1] for head in found]] = True
    return np.array(values, np.uint64), np.array(masks, np.uint64), starts, pairs


_HEADS, _MASKS, _STARTS, _PAIRS = _heads(_BEGINNINGS)
_LINE_END, _SEPARATOR, _MARK = 1, 2, 3
# (byte before, byte): the two at which `_mark` looks closer, one place in hundreds of English or Chinese text.
_KIND = np.zeros((256, 256), np.uint8)
for _before, _byte in (b"cp", b"cP", b"Cp", b"CP", b"by", b"bY", b"By", b"BY", b"\xe7\xbb", b"\xbd\x91"):
    _KIND[_before, _byte] = _MARK
for _before, _byte in (b"\xc2\xb7", b"\xc2\xbb", b"\x80\xa2", b"\x80\xba"):
    _KIND[_before, _byte] = _MARK
_KIND[:, list(b"|>")] = _SEPARATOR
_KIND[:, 10] = _LINE_END
_NOT_IN_BAR = np.zeros(256, np.bool_)
_NOT_IN_BAR[list(b":;()=`[]{}-")] = True


@njit(cache=True, nogil=True, inline="always")
def _lower(byte: Any) -> Any:
    return byte | 32 if 65 <= byte <= 90 else byte


@njit(cache=True, nogil=True)
def space_width(data, i, end):  # type: ignore[no-untyped-def]
    """Bytes of the white space character at byte i, as str.strip sees it; 0 if there is another."""
    byte = data[i]
    if byte < 0x80:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2:
        return 2 if i + 1 < end and data[i + 1] in (0x85, 0xA0) else 0
    if byte not in (0xE1, 0xE2, 0xE3) or i + 2 >= end:
        return 0
    second, third = data[i + 1], data[i + 2]
    if byte == 0xE2 and second == 0x80:
        return 3 if third <= 0x8A or third in (0xA8, 0xA9, 0xAF) else 0
    return 3 if (byte, second, third) in ((0xE1, 0x9A, 0x80), (0xE2, 0x81, 0x9F), (0xE3, 0x80, 0x80)) else 0


@njit(cache=True, nogil=True)
def bare_start(data, start, end):  # type: ignore[no-untyped-def]
    """Where data[start:end] begins when white space before it is left off."""
    while start < end:
        width = 1 if data[start] == 32 else space_width(data, start, end)
        if width == 0:
            break
        start += width
    return start


@njit(cache=True, nogil=True)
def bare_end(data, start, end):  # type: ignore[no-untyped-def]
    """Where data[start:end] ends when white space behind it is left off."""
    while end > start:
        width = 1
        while width < 3 and end - width > start and data[end - width] & 0xC0 == 0x80:
            width += 1
        if space_width(data, end - width, end) != width:
            break
        end -= width
    return end


@njit(cache=True, nogil=True)
def _mark(data, i, start, end):  # type: ignore[no-untyped-def]
    """What stands where byte i of the line data[start:end] ends one of the pairs: _SEPARATOR, _MARK or nothing (0)."""
    byte, before = data[i], data[i - 1]
    earlier = data[i - 2] if i > start + 1 else np.uint8(0)
    if before == 0xC2:  # a dot, a quote
        return _SEPARATOR
    if before == 0x80:  # a bullet, a quote
        return _SEPARATOR if earlier == 0xE2 else 0
    if before | 32 == 99:  # icp
        return _MARK if earlier | 32 == 105 else 0
    if before | 32 == 98:  # by c(ontinuing)
        return _MARK if i + 2 < end and data[i + 1] == 32 and data[i + 2] | 32 == 99 else 0
    if byte == 0x91:  # U+516C U+7F51
        return _MARK if i > start + 4 and earlier == 0xE7 and data[i - 3] == 0xAC else 0
    if i + 4 < end and data[i + 1] == 0xA7:  # U+7EE7 U+7EED
        return _MARK if data[i + 2] == 0xE7 and data[i + 4] == 0xAD else 0
    if i > start + 3 and i + 1 < end and data[i + 1] == 0x8F:  # U+672A U+7ECF
        return _MARK if earlier == 0xAA and data[i - 3] == 0x9C else 0
    return 0


@njit(cache=True, nogil=True)
def _begins(data, i, end):  # type: ignore[no-untyped-def]
    """Whether the line whose first visible character is at byte i begins as furniture does."""
    if 48 <= data[i] <= 57:
        while i < end and 48 <= data[i] <= 57:
            i += 1
        return i + 1 < end and data[i] == 32 and data[i + 1] | 32 in (99, 108, 114, 115, 118)  # c l r s v
    first = _lower(data[i])
    if i + 1 == end or not _PAIRS[first, _lower(data[i + 1])]:
        return False
    word = np.uint64(0)
    for k in range(i, i + _HEAD_BYTES):
        byte = _lower(data[k]) if k < end else np.uint8(0)
        word = word << np.uint64(8) | np.uint64(byte)
    found = False
    for k in range(_STARTS[first], _STARTS[first + 1]):
        found |= word & _MASKS[k] == _HEADS[k]
    return found


@njit(cache=True, nogil=True)
def _may_be_bar(data, start, end):  # type: ignore[no-untyped-def]
    """Whether a bare line with separators begins with what may be a letter and holds only what labels hold."""
    if data[start] < 0x80 and not 97 <= data[start] | 32 <= 122:
        return False
    outside = False
    for i in range(start, end):
        outside |= _NOT_IN_BAR[data[i]]
    return not outside


@njit(cache=True, nogil=True)
def _is_short(data, start, end):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(start, min(end, start + 4 * LONGEST + 1)):
        count += data[i] & 0xC0 != 0x80
    return count <= LONGEST


@njit(cache=True, nogil=True)
def _find(data, offsets, found):  # type: ignore[no-untyped-def]
    count = 0
    for document in range(len(offsets) - 1):
        i, end = offsets[document], offsets[document + 1]
        while i < end:
            start, num_separators, marked, before = i, 0, False, np.uint8(10)
            while i < end:
                byte = data[i]
                kind = _KIND[before, byte]
                before = byte
                if kind != 0:
                    if kind == _LINE_END:
                        break
                    if kind == _MARK:
                        kind = _mark(data, i, start, end)
                    num_separators += kind == _SEPARATOR
                    marked |= kind == _MARK
                i += 1
            first = bare_start(data, start, i)
            if first < i:
                may = marked or _begins(data, first, i)
                if may or num_separators >= 3:
                    last = bare_end(data, first, i)
                    if _is_short(data, first, last) and (may or _may_be_bar(data, first, last)):
                        if count < len(found):
                            found[count, 0], found[count, 1], found[count, 2] = document, start, i
                        count += 1
            i += 1
    return count
