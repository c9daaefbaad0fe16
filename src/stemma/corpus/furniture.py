"""Lines that belong to a page and not to its text: navigation, cookie notices, sharing, copyright, log-in prompts.

A line goes when it is short and one of the patterns of its language says what it is, or when it is a bar of at least
four short labels. Patterns are anchored to what such lines are made of, so that a sentence which mentions cookies stays.
They continue the line rules of RefinedWeb (arXiv 2306.01116, appendix G.2) and what Chinese news pages carry.
"""

import re

LONGEST = 160
"""characters up to which a line can be furniture"""

_ENGLISH = r"""
skip\ to\ (?:main\ )?(?:content|navigation)
(?:we|this\ (?:web)?site|our\ (?:web)?site)\ uses?\ cookies\b.*
.*\bby\ continuing\ (?:to\ (?:use|browse).*)?\ ?you\ (?:accept|agree)\b.*
(?:please\ )?enable\ java\s?script\b.*
(?:your\ browser\ )?(?:does\ not\ support|has\ disabled)\ java\s?script\b.*
(?:copyright\ )?(?:\(c\)|©|copyright)\ .{0,60}all\ rights\ reserved\b.*
all\ rights\ reserved\.?
(?:terms\ (?:of\ (?:use|service))?(?:\ (?:and|&)\ conditions)?|privacy\ policy|cookie\ policy)(?:\s*[|·•,]\s*(?:terms\ of\ (?:use|service)|privacy\ policy|cookie\ policy|contact(?:\ us)?|sitemap))*
(?:click|tap)\ here\ (?:to\ .{1,60}|for\ .{1,60})
(?:read|learn|see|view|load|show)\ more(?:\ .{0,40})?(?:\.\.\.|…|»|>+)?
(?:share|follow|tweet)(?:\ (?:this|us|on|it))*(?:\ (?:page|article|post|story|via))?\s*(?::.{0,80}|(?:on\ )?(?:facebook|twitter|x|pinterest|linkedin|instagram|whatsapp|email|e-mail)\b.{0,60}|)
(?:leave|post|add|write)\ a\ (?:comment|reply)\b.{0,80}
(?:you\ must\ be\ |please\ )?log(?:ged)?\ ?in\b(?:\ to\ .{1,60}|\ or\ .{1,60}|)\.?
you\ must\ be\ logged\ in\b.{0,60}
(?:sign|log)[\ -]?(?:up|in|out)\b(?:\ (?:for|to|now|here|with|free|today)\b.{0,60}|)[.!]?
(?:subscribe|register)\b(?:\ (?:to|now|for|here|today|via)\b.{0,60}|)[.!]?
join\ our\ (?:newsletter|mailing\ list|community)\b.{0,60}
(?:related|recommended|popular|recent|similar|more)\ (?:posts?|articles?|stories|topics|links|news|from\ .{1,40})\s*:?
you\ may\ (?:also|be)\ (?:like|interested\ in)\b.{0,30}
(?:back|return|go)\ to\ (?:the\ )?(?:top|home(?:page)?|previous\ page)
(?:scroll\ )?to\ (?:the\ )?top
advertisement|sponsored(?:\ content)?|ads?\ by\ .{1,30}
(?:previous|next)(?:\ (?:post|article|page|story))?\s*[:»«>→←]*
(?:print|email|e-mail|download)\ this\ (?:page|article|post)
\d+\ (?:likes?|comments?|shares?|views?|replies|retweets?)
(?:items?\ in\ cart|add\ to\ cart|view\ cart)\b.{0,30}
"""
_CHINESE = r"""
(?:本站|本网站|我们).{0,8}(?:使用|采用)\s*cookies?.{0,80}
.{0,40}(?:继续浏览|继续访问|继续使用).{0,10}(?:即表示|即视为|表示您|代表您).{0,60}
(?:版权所有|版权声明).{0,60}|(?:copyright\s*)?©.{0,60}
.{0,30}(?:未经(?:书面)?(?:授权|许可|允许)).{0,10}(?:禁止|不得|严禁|请勿).{0,20}
.{0,20}icp\s*(?:备|证)\s*\d+.{0,60}
.{0,20}公网安备\s*\d+.{0,40}
(?:免责声明|声明|郑重声明)[:：].{0,120}
(?:责任编辑|编辑|责编|来源|稿源|作者|记者|审核|校对|通讯员)\s*[:：].{0,30}
(?:分享到|分享至|一键分享|转发到|分享)\s*[:：]?.{0,40}
(?:扫一扫|扫码|长按).{0,40}
(?:关注|添加).{0,12}(?:公众号|微信|微博|官方账号).{0,20}
(?:点击|下载|打开).{0,12}(?:app|客户端).{0,30}
(?:点击|查看|阅读|展开|加载).{0,6}(?:更多|全文|原文|详情).{0,16}
(?:发表|发布|参与|我要)?评论(?:\s|[（(:：]|\d|$).{0,30}
(?:请先?)?(?:登录|注册|登陆)(?:后|即可|/|\s|以|查看|$).{0,30}
(?:上一篇|下一篇|上一页|下一页|返回列表|返回首页|返回顶部|回到顶部).{0,60}
(?:您|你)?(?:当前|现在)(?:的)?(?:所在)?位置\s*[:：].{0,60}
(?:首页|主页)\s*[|>»/›].{0,100}
(?:相关|推荐|热门|精彩|延伸)(?:阅读|文章|新闻|内容|推荐|链接|资讯)\s*[:：]?.{0,20}
(?:广告|推广|赞助(?:内容)?)
(?:收藏|打印|点赞|举报|纠错)(?:\s*[|/]\s*(?:收藏|打印|点赞|举报|纠错|分享|评论))*
"""
_LABEL = r" ?[^\W\d_][^|>·•»›:;()=`\[\]{}\n-]{0,22} ?"
_BAR = re.compile(rf"(?:{_LABEL}[|>·•»›]){{3,}}(?:{_LABEL})?[>»›]*$")


def _alternatives(patterns: str) -> str:
    return "|".join(f"(?:{line})" for line in patterns.split("\n") if line)


_FURNITURE = re.compile(rf"(?:{_alternatives(_ENGLISH)}|{_alternatives(_CHINESE)})\s*$", re.IGNORECASE)
# How such lines begin; looking that up costs less than any expression. What may begin in any way is looked for in the text.
_BEGIN_ENGLISH = frozenset(
    """
    skip we_u this our_ plea enab your does copy (c)_ (c)c all_ term priv cook clic tap_ read lear see_ view load show shar
    foll twee leav post add_ writ you_ log_ logi logg log- sign subs regi join rela reco popu rece simi more back retu go_t
    scro to_t adve spon ads_ ad_b prev next prin emai e-ma down item
    """.replace("_", "\0").split()
)
_CHINESE_BEGINNINGS = """
    本站 本网 我们 版权 免责 声明 郑重 责任 编辑 责编 来源 稿源 作者 记者 审核 校对 通讯 分享 一键 转发 扫一 扫码 长按 关注
    添加 点击 下载 打开 查看 阅读 展开 加载 发表 发布 参与 我要 评论 请先 登录 注册 登陆 上一 下一 返回 回到 您当 您现 您所
    您的 你当 你的 当前 现在 所在 位置 首页 主页 相关 推荐 热门 精彩 延伸 广告 推广 赞助 收藏 打印 点赞 举报 纠错
"""
_BEGIN_CHINESE = frozenset(_CHINESE_BEGINNINGS.split())
_ANYWHERE = ("|", "›", "»", "·", "•", "©", "y continuing", "继续", "未经", "ICP", "icp", "公网安备")


def _may_be(line: str) -> bool:
    """Whether a line begins as furniture can."""
    first = line[0]
    if first < "\u0100":
        return first.isdigit() or line[:4].lower().replace(" ", "\0") in _BEGIN_ENGLISH
    return line[:2] in _BEGIN_CHINESE


def is_furniture(line: str) -> bool:
    """Whether a line, white space around it aside, belongs to the page."""
    line = line.strip()
    if not line or len(line) > LONGEST:
        return False
    return bool(_FURNITURE.match(line) or _BAR.match(line))


def strip_furniture(text: str) -> str:
    """`text` without its lines of furniture; the same object where there is none."""
    lines = text.split("\n")
    anywhere = text.count(">") > 2 or any(mark in text for mark in _ANYWHERE)
    kept = [
        line
        for line in lines
        if not (bare := line.strip()) or not (anywhere or _may_be(bare)) or not is_furniture(bare)
    ]
    return text if len(kept) == len(lines) else "\n".join(kept)
